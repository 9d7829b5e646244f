"""When something happens in a fit, as a plan shows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MOMENTS_SHOWN = 5


@dataclass(frozen=True)
class Moment:
    """The end of a training batch."""

    epoch: int
    """From 0."""
    batch: int
    """Batches of the epoch that are done then."""


@dataclass(frozen=True)
class Timetable:
    """When one thing happens in a fit."""

    what: str
    every: str
    """The interval, as it was asked for."""
    moments: tuple[Moment, ...] | None
    """The first of them; None where time decides."""

    def __str__(self) -> str:
        return f"{self.what:<11}  every {self.every}{self._moments()}"

    def _moments(self) -> str:
        if self.moments is None:
            return ""
        if not self.moments:
            return ": never in this fit"
        epochs = dict.fromkeys(moment.epoch for moment in self.moments)
        parts = [f"epoch {epoch} after {_batches(self.moments, epoch)}" for epoch in epochs]
        return f": {'; '.join(parts)}{', ...' if len(self.moments) == MOMENTS_SHOWN else ''}"


def _batches(moments: Iterable[Moment], epoch: int) -> str:
    numbers = [str(moment.batch) for moment in moments if moment.epoch == epoch]
    return f"batch{'es' if len(numbers) > 1 else ''} {', '.join(numbers)}"
