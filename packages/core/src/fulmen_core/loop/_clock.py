"""When validation runs inside a fit, and when the fit ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from fulmen_core.loop._epoch_size import part_of
from fulmen_core.loop._progress import FitProgress, Phase
from fulmen_interfaces import ConfigurationError, Problem, rank_zero_warn


class ValidationClock:
    """Says after each training batch whether validation is due; with `agree`, ranks decide together on times.

    `steps` are optimizer steps over the whole fit, and take the place of `interval`.
    """

    def __init__(
        self,
        *,
        interval: float | int | timedelta,
        every_n_epochs: int | None,
        num_batches: int | float,
        progress: FitProgress,
        agree: Callable[[bool], bool] | None = None,
        steps: int | None = None,
    ) -> None:
        self._steps = steps
        self._timed = (-1, False)
        """The last batch after which time was asked for, and the answer."""
        self._every_n_epochs = every_n_epochs
        self._progress = progress
        self._interval = interval
        self._timer = TimeBetween(interval, agree) if isinstance(interval, timedelta) else None
        self.count_on(num_batches)

    def count_on(self, num_batches: int | float) -> None:
        """Take note of how many training batches an epoch has from now on."""
        interval, every_n_epochs = self._interval, self._every_n_epochs
        self._batches = (
            None if isinstance(interval, timedelta) else _batches_between(interval, every_n_epochs, num_batches)
        )

    def due(self, *, ending: bool = False) -> bool:
        """Return whether validation runs after the batch that just ended, which with `ending` is the last of all."""
        progress = self._progress
        if self._every_n_epochs is not None and (progress.epoch + 1) % self._every_n_epochs:
            return False
        if ending:
            return True
        if self._steps is not None:
            return progress.window_filled == 0 and progress.stepped_batches % self._steps == 0
        if self._timer is not None:
            return self._time_is_up(self._timer)
        if self._batches is None or self._batches == math.inf:
            return progress.is_last_batch
        done = progress.total_batches if self._every_n_epochs is None else progress.batches.processed
        return done % self._batches == 0

    def _time_is_up(self, timer: TimeBetween) -> bool:
        """Return whether it was when first asked after this batch: ranks, whose clocks differ, agree once in each."""
        batch, up = self._timed
        if batch != self._progress.total_batches:
            up = timer.is_up()
            self._timed = (self._progress.total_batches, up)
        return up

    def ran(self) -> None:
        """Take note that validation ran."""
        if self._timer is not None:
            self._timer.restart()


class TimeBetween:
    """Says whether enough time has passed; with `agree`, ranks decide together, and the first whose time is up wins."""

    def __init__(self, interval: timedelta, agree: Callable[[bool], bool] | None = None) -> None:
        self._seconds = interval.total_seconds()
        self._agree = agree
        self.restart()

    def restart(self) -> None:
        """Begin anew."""
        self._last = time.monotonic()

    def is_up(self) -> bool:
        """Return whether it is. Call it at the same moments on every rank."""
        up = time.monotonic() - self._last >= self._seconds
        return up if self._agree is None else self._agree(up)


def _batches_between(interval: float | int, every_n_epochs: int | None, num_batches: int | float) -> int | float:
    """Return the training batches between validations; infinity: at the end of each epoch."""
    if isinstance(interval, float):
        if interval == 1.0 or num_batches == 0:
            return math.inf
        if num_batches == math.inf:
            raise ConfigurationError(
                [
                    Problem(
                        "val_check_interval",
                        interval,
                        "a share of an epoch was asked for, but the training data does not tell its length.",
                        "Give a number of batches (val_check_interval=500), a time, or limit_train_batches=1000.",
                    )
                ]
            )
        return part_of(num_batches, interval)
    if every_n_epochs is not None and interval > num_batches:
        raise ConfigurationError(
            [
                Problem(
                    "val_check_interval",
                    interval,
                    f"an epoch has {num_batches} training batches only, so validation would never run.",
                    "Give at most that number, or check_val_every_n_epoch=None to count batches across epochs.",
                )
            ]
        )
    return interval


@dataclass
class StopRule:
    """Says when a fit has done what was asked."""

    max_epochs: int | None
    max_steps: int
    min_epochs: int
    min_steps: int
    progress: FitProgress

    def __post_init__(self) -> None:
        self.last_step = math.inf if self.max_steps == -1 else self.max_steps
        """The step with which training ends."""

    def check_resumed(self) -> None:
        """Warn where a checkpoint leaves nothing to train. Raises ConfigurationError where it is beyond max_epochs."""
        between = self.progress.phase is Phase.BETWEEN_EPOCHS
        begun = self.progress.epoch if between else self.progress.epoch + 1
        if self.max_epochs is not None and self.max_epochs != -1 and begun > self.max_epochs:
            reason = f"The checkpoint was written when {begun} epochs had begun."
            remedy = f"Give {begun + between} or more to train on, or fit anew from its weights alone."
            raise ConfigurationError([Problem("max_epochs", self.max_epochs, reason, remedy)])
        if between and self.limits_reached():
            most = f"max_steps={self.max_steps}" if self.steps_reached() else f"max_epochs={self.max_epochs}"
            rank_zero_warn(f"Nothing is left to train: the checkpoint was written when {most} was reached.")

    def limits_reached(self) -> bool:
        """Return whether the most that was asked for is done."""
        return self.steps_reached() or self.epochs_reached()

    def steps_reached(self) -> bool:
        """Return whether the last allowed optimizer step is done."""
        return self.progress.global_step >= self.last_step

    def epochs_reached(self) -> bool:
        """Return whether the last allowed epoch is done."""
        return self.max_epochs is not None and self.max_epochs != -1 and self.progress.epoch >= self.max_epochs

    def may_stop_early(self) -> bool:
        """Return whether the least that was asked for is done. An epoch that runs counts only when it is over."""
        return self.progress.epoch >= self.min_epochs and self.progress.global_step >= self.min_steps
