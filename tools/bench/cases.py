"""What a case is, and how its steps are measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from contenders import Contender, Library
from report import Row
from rounds import Measured, compare, take_turns
from workload import Clock

C = TypeVar("C", bound=Clock)

WARM_UP = 20


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int
    """Turns that each contender gets."""
    steps: int
    """Steps of a turn, after those that warm up."""


Measurement = Callable[[Sequence[Library], Effort], list[Row]]
"""Measures the libraries that are there."""


@dataclass(frozen=True)
class Case:
    """Steps of one kind: who takes them, and how much of the loop by hand ours may cost."""

    name: str
    what: str
    limit: float
    contenders: Callable[[Sequence[Library]], Mapping[str, Contender]]
    """By name, the loop by hand (`raw`) first."""

    def measure(self, found: Sequence[Library], effort: Effort) -> list[Row]:
        """The median step of every contender."""
        contenders = self.contenders(found)
        clocks = run_in_turns(contenders.values(), effort, Clock)
        return self.rows(compare(list(contenders), medians(clocks, Clock.durations)))

    def rows(self, measured: Sequence[Measured], beside: Sequence[str] = ()) -> list[Row]:
        """What the table says of the contenders, and beside each, where something is."""
        return [
            Row(
                self.name,
                self.what,
                *(one.contender, one.value, "us", one.ratio, (one.low, one.high)),
                limit=f"≤ {self.limit:.2f} ×" if one.contender == "fulmen" else "",
                beside=words,
            )
            for one, words in zip(measured, beside or [""] * len(measured), strict=True)
        ]


def run_in_turns(contenders: Iterable[Contender], effort: Effort, make_clock: Callable[[int], C]) -> list[list[C]]:
    """Run every contender once per round, each time with a new clock; per contender, its clocks."""
    steps = WARM_UP + effort.steps

    def turn(contender: Contender) -> C:
        clock = make_clock(steps)
        contender(steps, clock)
        return clock

    return take_turns(list(contenders), effort.rounds, turn)


def medians(clocks: Sequence[Sequence[C]], durations: Callable[[C, int], list[float]]) -> list[list[float]]:
    """Per contender and turn, the median duration of a step."""
    return [[median(durations(clock, WARM_UP)) for clock in own] for own in clocks]
