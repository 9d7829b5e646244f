"""Fair comparison on a machine that drifts: contenders take turns, and each round is compared with itself."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TypeVar

T = TypeVar("T")
V = TypeVar("V")


@dataclass(frozen=True)
class Measured:
    """One contender in one case."""

    contender: str
    value: float
    """The median over all rounds, in the case's unit."""
    ratio: float
    """The median over all rounds of its value divided by the first contender's in the same round."""
    low: float
    """A quarter of the rounds had a ratio below this."""
    high: float
    """A quarter of the rounds had one above this."""


def take_turns(contenders: Sequence[T], rounds: int, measure: Callable[[T], V]) -> list[list[V]]:
    """Measure all contenders once per round, beginning with another one each time; per contender, its values."""
    for contender in contenders:
        measure(contender)
    values: list[list[V]] = [[] for _ in contenders]
    for turn in range(rounds):
        for place in range(len(contenders)):
            index = (turn + place) % len(contenders)
            gc.collect()
            values[index].append(measure(contenders[index]))
    return values


def compare(names: Sequence[str], values: Sequence[Sequence[float]]) -> list[Measured]:
    """Set every contender against the first."""
    rows = []
    for name, own in zip(names, values, strict=True):
        ratios = [mine / theirs for mine, theirs in zip(own, values[0], strict=True)]
        rows.append(Measured(name, median(own), median(ratios), *middle_half(ratios)))
    return rows


def middle_half(values: Sequence[float]) -> tuple[float, float]:
    """The first and the third quartile."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, high
