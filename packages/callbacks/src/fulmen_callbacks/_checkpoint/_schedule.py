"""When checkpoints are written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from fulmen_callbacks._agreed import AgreedInterval
from fulmen_callbacks._problems import at_least, refuse
from fulmen_interfaces import Problem, TrainerView


@dataclass(frozen=True)
class SaveSchedule:
    """One of three clocks: optimizer steps, time, or epochs (the default, every one)."""

    every_n_train_steps: int
    every_n_epochs: int
    train_time_interval: timedelta | None
    on_train_epoch_end: bool | None
    """Whether epochs count at the end of training (True) or of validation (False); None: as the run validates."""

    @classmethod
    def of(
        cls, steps: int | None, interval: timedelta | None, epochs: int | None, on_train_epoch_end: bool | None
    ) -> SaveSchedule:
        """Check what the user gave. Raises ConfigurationError."""
        refuse(
            [
                at_least("every_n_train_steps", steps or 0, 0),
                at_least("every_n_epochs", epochs or 0, 0),
                _several_clocks(steps, interval, epochs),
            ]
        )
        if steps is None and interval is None and epochs is None:
            epochs = 1
        return cls(steps or 0, epochs or 0, interval, on_train_epoch_end)

    @property
    def watches_batches(self) -> bool:
        """Whether steps or time decide."""
        return self.every_n_train_steps > 0 or self.train_time_interval is not None

    def timer(self) -> AgreedInterval | None:
        """Return a new clock, where time decides."""
        return None if self.train_time_interval is None else AgreedInterval(self.train_time_interval.total_seconds())

    def step_is_due(self, global_step: int) -> bool:
        """Return whether that optimizer step ends an interval."""
        return self.every_n_train_steps > 0 and global_step % self.every_n_train_steps == 0

    def epoch_is_due(self, epoch: int) -> bool:
        """Return whether that epoch ends an interval."""
        return self.every_n_epochs > 0 and (epoch + 1) % self.every_n_epochs == 0

    def at_train_epoch_end(self, trainer: TrainerView) -> bool:
        """Return whether epochs end with training, rather than with validation.

        They do where each epoch validates once, at its end: then both kinds of metrics are complete.
        """
        if self.on_train_epoch_end is not None:
            return self.on_train_epoch_end
        if trainer.check_val_every_n_epoch != 1:
            return False
        return sum(trainer.num_val_batches) == 0 or _is_whole_epoch(trainer.val_check_interval)


def _is_whole_epoch(interval: float | timedelta) -> bool:
    return isinstance(interval, float) and interval == 1.0


def _several_clocks(steps: int | None, interval: timedelta | None, epochs: int | None) -> Problem | None:
    given = {"every_n_train_steps": steps, "train_time_interval": interval, "every_n_epochs": epochs}
    given = {name: value for name, value in given.items() if value}
    if len(given) < 2:
        return None
    first, *rest = given
    reason = f"Only one clock can decide, but {' and '.join(rest)} is given as well."
    return Problem(first, given[first], reason, "Leave one, or use two ModelCheckpoint callbacks.")
