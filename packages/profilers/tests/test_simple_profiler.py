"""The simple profiler: every moment belongs to one action."""

from __future__ import annotations

import pickle
import re
import time

import pytest

from fulmen_profilers import SimpleProfiler


def begun(profiler: SimpleProfiler, *, rank: int = 0, log_dir: str | None = None) -> SimpleProfiler:
    profiler.setup("fit", rank=rank, log_dir=log_dir)
    return profiler


def table(text: str) -> dict[str, dict[str, str]]:
    """Read a report back: its columns by action."""
    head, *rows = [re.split(r"\s{2,}", line) for line in text.splitlines()[2:] if line and not line.startswith("-")]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows if len(row) == len(head)}


def number(cell: str) -> float:
    return float(cell.replace(",", "").rstrip("%"))


def rest_of(text: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith("(between the actions)"))
    return re.split(r"\s{2,}", line)[1:]


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved, in milliseconds."""

    class Clock:
        now = 5_000_000_000

        def move(self, milliseconds: int) -> None:
            self.now += milliseconds * 1_000_000

    clock = Clock()
    monkeypatch.setattr("fulmen_profilers._ledger.perf_counter_ns", lambda: clock.now)
    return clock


def test_times_are_those_of_the_clock(clock):
    profiler = begun(SimpleProfiler())
    for duration in (10, 20, 30):
        with profiler.profile("step"):
            clock.move(duration)
        clock.move(5)
    row = table(profiler.summary())["step"]
    assert row == {"calls": "3", "mean [ms]": "20.000", "total [ms]": "60.000", "own [ms]": "60.000", "share": "80.0%"}
    assert rest_of(profiler.summary()) == ["15.000", "20.0%"]


def test_an_action_inside_another_is_not_counted_twice(clock):
    profiler = begun(SimpleProfiler())
    with profiler.profile("batch"):
        clock.move(10)
        with profiler.profile("forward"):
            clock.move(30)
        with profiler.profile("backward"):
            clock.move(40)
            with profiler.profile("hook"):
                clock.move(15)
        clock.move(5)
    rows = table(profiler.summary())
    assert {name: (row["total [ms]"], row["own [ms]"], row["share"]) for name, row in rows.items()} == {
        "backward": ("55.000", "40.000", "40.0%"),
        "forward": ("30.000", "30.000", "30.0%"),
        "hook": ("15.000", "15.000", "15.0%"),
        "batch": ("100.000", "15.000", "15.0%"),
        "(the whole run)": ("100.000", "100.000", "100.0%"),
    }


def test_an_action_inside_itself_counts_once_towards_its_total(clock):
    profiler = begun(SimpleProfiler())
    with profiler.profile("step"):
        clock.move(10)
        with profiler.profile("step"):
            clock.move(20)
        clock.move(30)
    row = table(profiler.summary())["step"]
    assert (row["calls"], row["total [ms]"], row["own [ms]"]) == ("2", "60.000", "60.000")


def test_actions_that_overlap_without_nesting_still_add_up(clock):
    profiler = begun(SimpleProfiler())
    profiler.start("one")
    clock.move(10)
    profiler.start("two")
    clock.move(20)
    profiler.stop("one")
    clock.move(40)
    profiler.stop("two")
    clock.move(30)
    rows = table(profiler.summary())
    assert [(rows[name]["total [ms]"], rows[name]["own [ms]"]) for name in ("one", "two")] == [
        ("30.000", "10.000"),
        ("60.000", "60.000"),
    ]
    assert rest_of(profiler.summary()) == ["30.000", "30.0%"]


def test_own_times_add_up_to_the_run_with_a_real_clock():
    profiler = begun(SimpleProfiler())
    for _ in range(3):
        with profiler.profile("outer"):
            time.sleep(0.002)
            with profiler.profile("inner"):
                time.sleep(0.001)
    profiler.teardown("fit")
    text = profiler.summary()
    rows = table(text)
    whole = number(rows.pop("(the whole run)")["own [ms]"])
    own = sum(number(row["own [ms]"]) for row in rows.values()) + number(rest_of(text)[0])
    assert own == pytest.approx(whole, abs=0.003)  # the digits that are printed
    assert number(rows["outer"]["total [ms]"]) >= 9
    assert number(rows["inner"]["own [ms]"]) >= 3


def test_an_error_ends_the_action_that_it_came_from(clock):
    profiler = begun(SimpleProfiler())
    with pytest.raises(KeyError), profiler.profile("outer"), profiler.profile("inner"):
        {}[clock.move(10)]
    clock.move(10)
    rows = table(profiler.summary())
    assert (rows["outer"]["total [ms]"], rows["inner"]["own [ms]"]) == ("10.000", "10.000")
    assert rest_of(profiler.summary()) == ["10.000", "50.0%"]


def test_an_action_that_is_still_open_counts_up_to_now(clock):
    profiler = begun(SimpleProfiler())
    profiler.start("open")
    clock.move(25)
    assert table(profiler.summary())["open"]["total [ms]"] == "25.000"
    clock.move(25)
    profiler.stop("open")
    assert table(profiler.summary())["open"]["total [ms]"] == "50.000"


def test_stopping_what_does_not_run_is_an_error():
    profiler = begun(SimpleProfiler())
    profiler.start("forward")
    with pytest.raises(ValueError, match=r"'backward' was to be stopped.*Running now: 'forward'.*`start` first"):
        profiler.stop("backward")


def test_actions_come_by_own_time_and_columns_are_in_line(clock):
    profiler = begun(SimpleProfiler())
    for name, duration in {"short": 1, "a_much_longer_name": 70_000, "middle": 500}.items():
        with profiler.profile(name):
            clock.move(duration)
    lines = profiler.summary().splitlines()
    body = lines[2 : lines.index("", 2)]
    assert len({len(line) for line in body}) == 1
    assert [line.split()[0] for line in body[2:5]] == ["a_much_longer_name", "middle", "short"]
    assert "total [s]" in body[0]
    assert "70,000.000" in body[2]


def test_without_extended_only_means_and_totals_are_shown(clock):
    profiler = begun(SimpleProfiler(extended=False))
    with profiler.profile("step"):
        clock.move(8)
    assert table(profiler.summary()) == {
        "step": {"mean [ms]": "8.000", "total [ms]": "8.000"},
        "(the whole run)": {"mean [ms]": "8.000", "total [ms]": "8.000"},
    }


def test_the_report_is_printed(capsys):
    profiler = begun(SimpleProfiler())
    with profiler.profile("step"):
        pass
    profiler.describe()
    profiler.teardown("fit")
    assert "Where the time went in fit" in capsys.readouterr().out


def test_nothing_measured_is_nothing_printed(capsys):
    profiler = begun(SimpleProfiler())
    profiler.describe()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"dirpath": "here", "filename": "speed"}, "here/fit-speed-0.txt"),
        ({"filename": "speed"}, "logs/fit-speed-0.txt"),
        ({"dirpath": "here"}, "here/fit-simple-0.txt"),
        ({"filename": "a b/c:d"}, "logs/fit-a_b_c_d-0.txt"),
    ],
)
def test_a_folder_or_name_sends_the_report_to_a_file(arguments, path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    profiler = begun(SimpleProfiler(**arguments), log_dir=str(tmp_path / "logs"))
    with profiler.profile("step"):
        pass
    profiler.describe()
    assert capsys.readouterr().out == ""
    assert "step" in table((tmp_path / path).read_text())
    assert [file.name for file in (tmp_path / path).parent.iterdir()] == [(tmp_path / path).name]


def test_a_second_run_starts_from_nothing_and_adds_to_the_file(tmp_path):
    profiler = SimpleProfiler(tmp_path, "speed")
    for name in ("first", "second"):
        begun(profiler)
        with profiler.profile(name):
            pass
        profiler.describe()
        profiler.teardown("fit")
    assert set(table(profiler.summary())) == {"second", "(the whole run)"}
    text = (tmp_path / "fit-speed-0.txt").read_text()
    assert text.count("Where the time went in fit") == 2
    assert text.index("first") < text.index("second")


def test_files_can_be_remote():
    import fsspec

    memory = fsspec.filesystem("memory")
    profiler = begun(SimpleProfiler("memory://profiles/run", "speed"))
    for _ in range(2):
        with profiler.profile("step"):
            pass
        profiler.describe()
    assert memory.cat("/profiles/run/fit-speed-0.txt").decode().count("Where the time went") == 2


def test_other_ranks_are_silent_unless_asked(capsys):
    profiler = begun(SimpleProfiler(), rank=3)
    with profiler.profile("step"):
        pass
    profiler.describe()
    assert profiler.summary() == ""
    assert capsys.readouterr().out == ""

    profiler = begun(SimpleProfiler(all_ranks=True), rank=3)
    with profiler.profile("step"):
        pass
    profiler.describe()
    assert "in fit, rank 3" in capsys.readouterr().out


def test_after_the_run_nothing_more_is_measured(clock):
    profiler = begun(SimpleProfiler())
    with profiler.profile("step"):
        clock.move(10)
    profiler.teardown("fit")
    before = profiler.summary()
    clock.move(100)
    with profiler.profile("late"):
        clock.move(10)
    assert profiler.summary() == before


def test_it_works_without_a_trainer(clock):
    profiler = SimpleProfiler()
    with profiler.profile("load"):
        clock.move(7)
    assert table(profiler.summary())["load"]["total [ms]"] == "7.000"
    assert "in this process" in profiler.summary()


def test_it_can_be_sent_to_another_process():
    profiler = SimpleProfiler("folder", "name", all_ranks=True)
    with profiler.profile("step"):
        pass
    copy = begun(pickle.loads(pickle.dumps(profiler)))
    with copy.profile("step"):
        pass
    assert (copy.dirpath, copy.filename, copy.all_ranks) == ("folder", "name", True)
    assert table(copy.summary())["step"]["calls"] == "1"
