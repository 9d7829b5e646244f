"""How large an epoch of training is, and what intervals come to in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fulmen_core.data import batch_size_of
from fulmen_interfaces import ConfigurationError, Every, Problem, Unit


@dataclass(frozen=True)
class EpochSize:
    """An epoch of training, as far as the loaders tell before it is read."""

    batches: int | float
    """Infinity where the loader does not tell."""
    samples: int | None
    """Of a full batch, of all processes together; None where the loader does not tell."""
    accumulate: int
    """Batches of a full accumulation window."""

    @classmethod
    def of(cls, loader: object, batches: int | float, processes: int, accumulate: int) -> EpochSize:
        """Return the size of an epoch of that loader, which every process has one like."""
        samples = batch_size_of(loader)
        return cls(batches, None if samples is None else samples * processes, accumulate)

    def steps_between(self, every: Every, argument: str) -> int:
        """Return the optimizer steps that an interval comes to, one at least.

        Samples are rounded to the nearest step, a share down. Raises ConfigurationError, naming the argument, where the
        data does not tell.
        """
        if every.unit is Unit.STEPS:
            return int(every.amount)
        if every.unit is Unit.SAMPLES:
            return max(1, round(every.amount / (self._samples(every, argument) * self.accumulate)))
        if math.isinf(self.batches):
            reason = "The training data does not tell how many batches an epoch has."
            raise _problem(argument, every, reason, "Count in steps or in time, or give limit_train_batches=1000.")
        share = every.amount if every.unit is Unit.EPOCHS else every.amount / 100
        return part_of(math.ceil(self.batches / self.accumulate), share)

    def _samples(self, every: Every, argument: str) -> int:
        if self.samples is None:
            reason = "The training data does not tell how many samples a batch has."
            raise _problem(argument, every, reason, "Count in steps, or pass one DataLoader with a batch size.")
        return self.samples


def part_of(whole: float, share: float) -> int:
    """Return that share of a number, rounded down, one at least. 0.29 of 100 is 29, though as a float it is less."""
    return max(1, math.floor(round(whole * share, 6)))


def _problem(argument: str, every: Every, reason: str, remedy: str) -> ConfigurationError:
    return ConfigurationError([Problem(argument, str(every), reason, remedy)])
