"""The orders in which several loaders are read together."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

Limits = Sequence[int | float]
Item = tuple[Any, int, int]


class Walk(ABC):
    """One pass over several iterables; gives (batch or list of batches, its number, number of the iterable)."""

    joint: ClassVar[bool] = True
    """Whether a batch of every iterable is read at a time."""

    def __init__(self, iterables: Sequence[Iterable[Any]], limits: Limits) -> None:
        self.iterables = iterables
        self.limits = limits
        self.iterators: list[Iterator[Any]] = []
        self.index = 0
        self.done = [False] * len(iterables)

    def start(self) -> Iterator[Item]:
        """Begin to read, and return itself."""
        self.iterators = [iter(iterable) for iterable in self.iterables]
        return self

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if not self.iterators:
            raise StopIteration
        batches = self._read()
        self.index += 1
        return batches, self.index - 1, 0

    @abstractmethod
    def _read(self) -> list[Any]:
        """Return one batch of each, or raise StopIteration."""

    @staticmethod
    @abstractmethod
    def length(lengths: Limits) -> int | float:
        """Return the number of items for iterables of these lengths."""

    def is_open(self, number: int) -> bool:
        """Whether that iterable is being read."""
        return True

    def position(self) -> dict[str, Any]:
        """Return where it is, apart from the iterables' own positions."""
        return {"index": self.index, "done": list(self.done)}

    def resume(self, position: Mapping[str, Any], reopen: Callable[[int, bool], Iterator[Any]]) -> None:
        """Go to a position. `reopen(number, is_open)` returns the rest of that iterable."""
        self.index = position["index"]
        self.done = list(position["done"])
        self.iterators = [reopen(number, self.is_open(number)) for number in range(len(self.iterables))]


class MinSize(Walk):
    """Until the first of them ends."""

    def _read(self) -> list[Any]:
        return [next(iterator) for iterator in self.iterators]

    @staticmethod
    def length(lengths: Limits) -> int | float:
        return min(lengths, default=0)


class MaxSizeCycle(Walk):
    """Until the longest ends; shorter ones begin again."""

    def _read(self) -> list[Any]:
        return [self._next_of(number) for number in range(len(self.iterators))]

    def _next_of(self, number: int) -> Any:
        try:
            return next(self.iterators[number])
        except StopIteration:
            self.done[number] = True
            if all(self.done):
                raise
            self.iterators[number] = iter(self.iterables[number])
            return next(self.iterators[number])

    @staticmethod
    def length(lengths: Limits) -> int | float:
        return max(lengths, default=0)


class MaxSize(Walk):
    """Until the longest ends; None in the place of those that have ended."""

    def _read(self) -> list[Any]:
        batches = [self._next_of(number) for number in range(len(self.iterators))]
        if all(self.done):
            raise StopIteration
        return batches

    def _next_of(self, number: int) -> Any:
        if self.done[number]:
            return None
        try:
            return next(self.iterators[number])
        except StopIteration:
            self.done[number] = True
            return None

    def is_open(self, number: int) -> bool:
        return not self.done[number]

    @staticmethod
    def length(lengths: Limits) -> int | float:
        return max(lengths, default=0)


class Sequential(Walk):
    """One after the other, at most the limit's number of batches of each."""

    joint = False

    def start(self) -> Iterator[Item]:
        self.current = -1
        self._open_next()
        return self

    def __next__(self) -> Item:
        while self.current < len(self.iterables):
            if self.index < self.limits[self.current]:
                batches = self._read()
                if batches:
                    self.index += 1
                    return batches[0], self.index - 1, self.current
            self._open_next()
        raise StopIteration

    def _open_next(self) -> None:
        self.current += 1
        self.index = 0
        self.iterators = []  # lets the workers of the one that has ended go before the next one's start
        if self.current < len(self.iterables) and self.limits[self.current] > 0:
            self.iterators = [iter(self.iterables[self.current])]

    def _read(self) -> list[Any]:
        for batch in self.iterators[0]:
            return [batch]
        return []

    def is_open(self, number: int) -> bool:
        return number == self.current

    def position(self) -> dict[str, Any]:
        return {**super().position(), "current": self.current}

    def resume(self, position: Mapping[str, Any], reopen: Callable[[int, bool], Iterator[Any]]) -> None:
        self.current = position["current"]
        super().resume(position, reopen)
        self.iterators = self.iterators[self.current : self.current + 1]

    @staticmethod
    def length(lengths: Limits) -> int | float:
        return sum(lengths)


WALKS: Mapping[str, type[Walk]] = {
    "min_size": MinSize,
    "max_size_cycle": MaxSizeCycle,
    "max_size": MaxSize,
    "sequential": Sequential,
}
"""The walks by the names that users write."""

NO_LIMIT = math.inf
"""The limit of an iterable that is read to its end."""
