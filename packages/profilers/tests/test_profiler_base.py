"""Profilers of one's own, on the base that ours stand on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import fulmen_interfaces
from fulmen_profilers import PassThroughProfiler, Profiler


class CountingProfiler(Profiler):
    def __init__(self, dirpath: Any = None, filename: str | None = None) -> None:
        super().__init__(dirpath=dirpath, filename=filename)
        self.counts: Counter[str] = Counter()
        self.open: list[str] = []

    def start(self, action: str) -> None:
        self.counts[action] += 1
        self.open.append(action)

    def stop(self, action: str) -> None:
        self.open.remove(action)

    def summary(self) -> str:
        return "\n".join(f"{action}: {times}" for action, times in self.counts.items())


def run(profiler: Any, rank: int = 0, log_dir: str | None = None) -> None:
    profiler.setup("fit", rank, log_dir)
    for _ in range(2):
        with profiler.profile("step"), profiler.profile("inner"):
            pass
        profiler.step()
    profiler.describe()
    profiler.teardown("fit")


def test_it_is_what_a_trainer_takes() -> None:
    assert isinstance(CountingProfiler(), fulmen_interfaces.Profiler)
    assert isinstance(PassThroughProfiler(), fulmen_interfaces.Profiler)


def test_its_report_is_printed(capsys: Any) -> None:
    profiler = CountingProfiler()
    run(profiler)
    assert capsys.readouterr().out == "step: 2\ninner: 2\n"
    assert profiler.open == []


def test_or_written_to_a_file(tmp_path: Path, capsys: Any) -> None:
    run(CountingProfiler(tmp_path))
    run(CountingProfiler(filename="mine"), log_dir=str(tmp_path))
    assert capsys.readouterr().out == ""
    assert (tmp_path / "fit-profile-0.txt").read_text() == "step: 2\ninner: 2\n"
    assert (tmp_path / "fit-mine-0.txt").read_text() == "step: 2\ninner: 2\n"


def test_rank_zero_speaks_for_all(capsys: Any) -> None:
    profiler = CountingProfiler()
    run(profiler, rank=1)
    assert profiler.counts == {"step": 2, "inner": 2}
    assert capsys.readouterr().out == ""


def test_a_subclass_may_name_the_arguments_of_setup_as_it_likes(capsys: Any) -> None:
    class Named(CountingProfiler):
        def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
            super().setup(stage, local_rank or 0, log_dir)
            self.start(f"begins {stage} of rank {local_rank}")

    run(Named())
    assert capsys.readouterr().out == "begins fit of rank 0: 1\nstep: 2\ninner: 2\n"


def test_the_one_that_measures_nothing_says_nothing(capsys: Any) -> None:
    profiler = PassThroughProfiler()
    assert isinstance(profiler, Profiler)
    run(profiler)
    profiler.start("step")
    profiler.stop("another")
    assert capsys.readouterr().out == ""
