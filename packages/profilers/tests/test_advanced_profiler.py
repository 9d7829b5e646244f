"""The advanced profiler: functions by action, read back with pstats."""

from __future__ import annotations

import cProfile
import io
import pickle
import pstats
from pathlib import Path

import pytest

from fulmen_interfaces import PluginError
from fulmen_profilers import AdvancedProfiler


def outer_work() -> int:
    return sum(range(10))


def inner_work() -> int:
    return sum(range(20))


def begun(profiler: AdvancedProfiler, *, rank: int = 0, log_dir: str | None = None) -> AdvancedProfiler:
    profiler.setup("fit", rank=rank, log_dir=log_dir)
    return profiler


def calls(file: Path) -> dict[str, int]:
    """Read a file of cProfile back: calls by function."""
    stats = pstats.Stats(str(file), stream=io.StringIO())
    return {name: row[1] for (_, _, name), row in stats.stats.items()}


def run_nested(profiler: AdvancedProfiler, times: int) -> None:
    for _ in range(times):
        with profiler.profile("outer"):
            outer_work()
            with profiler.profile("inner"):
                inner_work()
            outer_work()


def test_functions_are_counted_in_the_innermost_action(tmp_path):
    profiler = begun(AdvancedProfiler(tmp_path, "speed", dump_stats=True))
    run_nested(profiler, 3)
    profiler.describe()
    profiler.teardown("fit")
    outer, inner = calls(tmp_path / "fit-speed-0-outer.prof"), calls(tmp_path / "fit-speed-0-inner.prof")
    assert (outer["outer_work"], inner["inner_work"]) == (6, 3)
    assert "inner_work" not in outer
    assert "outer_work" not in inner


def test_the_report_has_a_section_for_each_action(capsys):
    profiler = begun(AdvancedProfiler())
    run_nested(profiler, 2)
    profiler.describe()
    text = capsys.readouterr().out
    sections = {part.split(":")[0]: part for part in text.split("\n\n") if " call" in part.splitlines()[0]}
    assert "outer: 2 calls" in text
    assert "inner: 2 calls" in text
    assert set(sections) == {"outer", "inner"}
    listed = text[text.index("inner: 2 calls") :].split("outer: 2 calls")[0]
    assert "inner_work" in listed
    assert "outer_work" not in listed
    assert "fulmen_profilers" not in text


@pytest.mark.parametrize(("restriction", "rows"), [(2, 2), (1, 1), (1.0, 4)])
def test_so_many_functions_are_listed(restriction, rows):
    profiler = begun(AdvancedProfiler(line_count_restriction=restriction))
    with profiler.profile("step"):
        outer_work()
        inner_work()
        sorted([2, 1])
    lines = profiler.summary().splitlines()
    head = next(index for index, line in enumerate(lines) if "ncalls" in line)
    assert len(lines[head + 1 :]) == rows


def test_an_action_inside_itself_and_errors_leave_nothing_running():
    profiler = begun(AdvancedProfiler())
    with pytest.raises(KeyError), profiler.profile("step"), profiler.profile("step"):
        raise KeyError
    with profiler.profile("step"):
        outer_work()
    profiler.teardown("fit")
    own = cProfile.Profile()
    own.enable()  # from Python 3.12 on this fails where another is active
    inner_work()
    own.disable()
    assert "step: 3 calls" in profiler.summary()


def test_a_report_in_the_middle_of_an_action_does_not_end_it():
    profiler = begun(AdvancedProfiler())
    with profiler.profile("step"):
        outer_work()
        assert "inner_work" not in profiler.summary()
        inner_work()
    assert "inner_work" in profiler.summary()


def test_a_tool_that_profiles_already_is_not_pushed_aside():
    tool = cProfile.Profile()
    tool.enable()
    try:
        with pytest.raises(PluginError, match=r"another tool profiles this process already.*SimpleProfiler"):
            begun(AdvancedProfiler())
        outer_work()
    finally:
        tool.disable()
    tool.create_stats()
    assert any(name == "outer_work" for _, _, name in tool.stats)


def test_names_of_actions_are_made_fit_for_files(tmp_path):
    profiler = begun(AdvancedProfiler(dump_stats=True), log_dir=str(tmp_path))
    with profiler.profile("load: a/b"):
        outer_work()
    profiler.describe()
    assert calls(tmp_path / "fit-advanced-0-load_a_b.prof")["outer_work"] == 1


def test_other_ranks_measure_only_if_asked(tmp_path, capsys):
    profiler = begun(AdvancedProfiler(tmp_path, dump_stats=True), rank=1)
    run_nested(profiler, 1)
    profiler.describe()
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""

    profiler = begun(AdvancedProfiler(tmp_path, dump_stats=True, all_ranks=True), rank=1)
    run_nested(profiler, 1)
    profiler.describe()
    assert {file.name for file in tmp_path.iterdir()} == {
        "fit-advanced-1.txt",
        "fit-advanced-1-inner.prof",
        "fit-advanced-1-outer.prof",
    }


def test_stopping_what_does_not_run_is_an_error():
    profiler = begun(AdvancedProfiler())
    with pytest.raises(ValueError, match="Running now: none"):
        profiler.stop("step")


def test_it_can_be_sent_to_another_process():
    profiler = begun(AdvancedProfiler("folder", line_count_restriction=5))
    run_nested(profiler, 1)
    copy = begun(pickle.loads(pickle.dumps(profiler)))
    run_nested(copy, 1)
    assert copy.line_count_restriction == 5
    assert "outer: 1 call\n" in copy.summary()
