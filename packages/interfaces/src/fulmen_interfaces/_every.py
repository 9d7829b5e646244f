"""Intervals with a unit, as users write them: `"500 steps"`, `"2 epochs"`, `"30 min"`, `"10000 samples"`, `"25 %"`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Protocol, runtime_checkable


class Unit(str, Enum):
    """What an interval is counted in."""

    STEPS = "steps"
    """Training batches after which optimizers had their turn, over the whole fit."""
    EPOCHS = "epochs"
    SAMPLES = "samples"
    """Training samples that all processes together have read."""
    SHARE = "%"
    """Hundredths of an epoch."""
    SECONDS = "s"


_WORDS = {
    Unit.STEPS: ("step", "steps"),
    Unit.EPOCHS: ("epoch", "epochs"),
    Unit.SAMPLES: ("sample", "samples"),
    Unit.SHARE: ("%", "percent"),
}
_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}
_UNITS = {word: (unit, 1) for unit, words in _WORDS.items() for word in words}
_UNITS |= {word: (Unit.SECONDS, seconds) for word, seconds in _SECONDS.items()}
_TEXT = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*([a-z]+|%)")

EXAMPLES = '"500 steps", "2 epochs", "10000 samples", "25 %" or "30 min"'
"""What messages offer."""


@dataclass(frozen=True)
class Every:
    """An interval. Steps, epochs and samples are whole numbers; a part of an epoch is a share.

    Raises ValueError, with what is wrong, where the amount means nothing.
    """

    amount: int | float
    unit: Unit

    def __post_init__(self) -> None:
        if self.amount <= 0:
            raise ValueError("Nothing lies between one time and the next.")
        if self.unit is Unit.SHARE and self.amount > 100:
            raise ValueError("A share of an epoch is 100 % at most.")
        if self.unit in (Unit.STEPS, Unit.EPOCHS, Unit.SAMPLES):
            if not float(self.amount).is_integer():
                raise ValueError(f"{self.unit.value.capitalize()} are whole.")
            object.__setattr__(self, "amount", int(self.amount))

    @classmethod
    def parse(cls, text: str) -> Every:
        """Read an amount and a unit. Raises ValueError, with what is wrong, where that is none."""
        match = _TEXT.fullmatch(text.strip().lower())
        if match is None or match[2] not in _UNITS:
            raise ValueError(f"It is no amount with a unit, such as {EXAMPLES}.")
        (unit, factor), amount = _UNITS[match[2]], float(match[1].replace("_", ""))
        amount *= factor
        if unit is Unit.EPOCHS and amount < 1:
            unit, amount = Unit.SHARE, amount * 100
        return cls(amount, unit)

    @property
    def time(self) -> timedelta | None:
        """The interval as a time; None where it is counted in something else."""
        return timedelta(seconds=self.amount) if self.unit is Unit.SECONDS else None

    def __str__(self) -> str:
        if self.unit is not Unit.SECONDS:
            noun = self.unit.value[:-1] if self.amount == 1 and self.unit is not Unit.SHARE else self.unit.value
            return f"{self.amount:g} {noun}" if isinstance(self.amount, float) else f"{self.amount} {noun}"
        for word, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
            if self.amount >= seconds and self.amount % seconds == 0:
                return f"{self.amount // seconds:g} {word}"
        return f"{self.amount:g} s"


@runtime_checkable
class HasSchedule(Protocol):
    """A callback that acts at an interval, which plans of a run show."""

    @property
    def schedule(self) -> Every | None:
        """The interval; None where it never acts."""
        ...

    @property
    def epochs_end_with_training(self) -> bool | None:
        """Whether an epoch counts when its training ends, rather than its validation; None: as the run validates."""
        ...
