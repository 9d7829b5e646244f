"""The time that a run may take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, ClassVar

from fulmen_callbacks._agreed import AgreedInterval
from fulmen_callbacks._problems import one_of, refuse
from fulmen_interfaces import (
    DURATION_FORMS,
    Callback,
    CallbackRole,
    ConfigurationError,
    ModuleView,
    Problem,
    RunningStage,
    TrainerView,
    parse_duration,
    rank_zero_info,
)


class Interval(str, Enum):
    """When the time is looked at."""

    STEP = "step"
    EPOCH = "epoch"


class Timer(Callback):
    """Measure how long training, validation and testing take, and stop training after `duration`.

    The duration is a `timedelta`, its arguments as a dictionary (`{"hours": 2}`), or text: `"12 h"`, `"DD:HH:MM:SS"`.
    Time is looked at after each batch, or at the end of each epoch with `interval="epoch"`. Every fit begins to count
    anew, but for one that goes on from a checkpoint.
    """

    role: ClassVar[CallbackRole | None] = CallbackRole.TIMER

    def __init__(
        self,
        duration: str | timedelta | Mapping[str, int] | None = None,
        interval: str = Interval.STEP,
        verbose: bool = True,
    ) -> None:
        refuse([one_of("interval", interval, [one.value for one in Interval])])
        self._duration = None if duration is None else _seconds(duration)
        self._interval = Interval(interval)
        self._verbose = verbose
        self._start: dict[RunningStage, float] = {}
        self._end: dict[RunningStage, float] = {}
        self._before: dict[RunningStage, float] = {}
        """What earlier processes took."""
        self._limit: AgreedInterval | None = None

    def start_time(self, stage: str = RunningStage.TRAINING) -> float | None:
        """Return when a stage began, by a clock of no particular start; None if it has not."""
        return self._start.get(RunningStage(stage))

    def end_time(self, stage: str = RunningStage.TRAINING) -> float | None:
        """Return when it ended; None if it has not."""
        return self._end.get(RunningStage(stage))

    def time_elapsed(self, stage: str = RunningStage.TRAINING) -> float:
        """Return the seconds that a stage has taken, those before a resume included."""
        stage = RunningStage(stage)
        start, before = self._start.get(stage), self._before.get(stage, 0.0)
        return before if start is None else before + self._end.get(stage, time.monotonic()) - start

    def time_remaining(self, stage: str = RunningStage.TRAINING) -> float | None:
        """Return the seconds that are left of the duration; None where there is no limit."""
        return None if self._duration is None else self._duration - self.time_elapsed(stage)

    def setup(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        if stage == "fit":  # a checkpoint's state comes later
            self._start, self._end, self._before = {}, {}, {}

    def on_fit_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        remaining = self.time_remaining()
        if remaining is not None and trainer.collectives.broadcast(remaining <= 0):
            self._stop(trainer)

    def on_train_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._begin(RunningStage.TRAINING)
        remaining = self.time_remaining()
        self._limit = None if remaining is None else AgreedInterval(remaining)

    def on_train_batch_end(
        self, trainer: TrainerView, pl_module: ModuleView, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._limit is not None and self._interval is Interval.STEP and self._limit.has_passed(trainer):
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if self._limit is not None and self._interval is Interval.EPOCH and self._limit.has_passed(trainer):
            self._stop(trainer)

    def on_train_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._finish(RunningStage.TRAINING)

    def on_validation_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._begin(RunningStage.VALIDATING)

    def on_validation_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._finish(RunningStage.VALIDATING)

    def on_test_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._begin(RunningStage.TESTING)

    def on_test_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._finish(RunningStage.TESTING)

    def state_dict(self) -> dict[str, Any]:
        return {"time_elapsed": {stage.value: self.time_elapsed(stage) for stage in RunningStage}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        known = {stage.value: stage for stage in RunningStage}
        elapsed = state_dict.get("time_elapsed", {})
        self._before = {known[name]: seconds for name, seconds in elapsed.items() if name in known}
        self._start, self._end = {}, {}

    def _begin(self, stage: RunningStage) -> None:
        self._start[stage] = time.monotonic()
        self._end.pop(stage, None)

    def _finish(self, stage: RunningStage) -> None:
        self._end[stage] = time.monotonic()

    def _stop(self, trainer: TrainerView) -> None:
        trainer.stop_for_now()
        self._limit = None
        if self._verbose:
            elapsed = timedelta(seconds=int(self.time_elapsed()))
            rank_zero_info(f"The time is up: training took {elapsed}. It stops.")


def _seconds(duration: str | timedelta | Mapping[str, int]) -> float:
    try:
        return parse_duration(duration).total_seconds()
    except ValueError:
        raise ConfigurationError([Problem("duration", duration, "It is no length of time.", DURATION_FORMS)]) from None
