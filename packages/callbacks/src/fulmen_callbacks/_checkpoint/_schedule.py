"""When checkpoints are written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from fulmen_callbacks._agreed import AgreedInterval
from fulmen_callbacks._problems import at_least, refuse
from fulmen_interfaces import EXAMPLES, ConfigurationError, Every, Problem, TrainerView, Unit


@dataclass(frozen=True)
class SaveSchedule:
    """One of four clocks: optimizer steps, time, a part of the data, or epochs (the default, every one)."""

    every_n_train_steps: int
    every_n_epochs: int
    train_time_interval: timedelta | None
    data: Every | None
    """Samples, or a share of an epoch: what they come to in steps is known when training starts."""
    on_train_epoch_end: bool | None
    """Whether epochs count at the end of training (True) or of validation (False); None: as the run validates."""

    @classmethod
    def of(
        cls,
        steps: int | None,
        interval: timedelta | None,
        epochs: int | None,
        every: Every | str | None,
        on_train_epoch_end: bool | None,
    ) -> SaveSchedule:
        """Check what the user gave. Raises ConfigurationError."""
        refuse(
            [
                at_least("every_n_train_steps", steps or 0, 0),
                at_least("every_n_epochs", epochs or 0, 0),
                _several_clocks(steps, interval, epochs, every),
            ]
        )
        if every is not None:
            return _with_unit(_parsed(every), on_train_epoch_end)
        if steps is None and interval is None and epochs is None:
            epochs = 1
        return cls(steps or 0, epochs or 0, interval, None, on_train_epoch_end)

    @property
    def every(self) -> Every | None:
        """The interval with its unit; None where all are switched off."""
        if self.data is not None:
            return self.data
        if self.train_time_interval:
            return Every(self.train_time_interval.total_seconds(), Unit.SECONDS)
        if self.every_n_train_steps:
            return Every(self.every_n_train_steps, Unit.STEPS)
        return Every(self.every_n_epochs, Unit.EPOCHS) if self.every_n_epochs else None

    @property
    def watches_batches(self) -> bool:
        """Whether steps, time or data decide."""
        return self.every_n_train_steps > 0 or self.train_time_interval is not None or self.data is not None

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


def _is_whole_epoch(interval: float | timedelta | Every) -> bool:
    return isinstance(interval, float) and interval == 1.0


def _parsed(every: Every | str) -> Every:
    if isinstance(every, Every):
        return every
    try:
        return Every.parse(every)
    except (ValueError, AttributeError) as error:
        raise ConfigurationError([Problem("every", every, str(error), f"Write {EXAMPLES}.")]) from None


def _with_unit(every: Every, on_train_epoch_end: bool | None) -> SaveSchedule:
    steps = int(every.amount) if every.unit is Unit.STEPS else 0
    epochs = int(every.amount) if every.unit is Unit.EPOCHS else 0
    data = every if every.unit in (Unit.SAMPLES, Unit.SHARE) else None
    if epochs and on_train_epoch_end is None:
        on_train_epoch_end = True  # however often an epoch validates, it ends once
    return SaveSchedule(steps, epochs, every.time, data, on_train_epoch_end)


def _several_clocks(
    steps: int | None, interval: timedelta | None, epochs: int | None, every: Every | str | None
) -> Problem | None:
    given = {
        "every_n_train_steps": steps,
        "train_time_interval": interval,
        "every_n_epochs": epochs,
        "every": every,
    }
    given = {name: value for name, value in given.items() if value}
    if len(given) < 2:
        return None
    first, *rest = given
    reason = f"Only one clock can decide, but {' and '.join(rest)} is given as well."
    return Problem(first, given[first], reason, "Leave one, or use two ModelCheckpoint callbacks.")
