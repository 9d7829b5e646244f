"""Several loaders as one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fulmen_core.data._limits import length_of
from fulmen_core.data._tree import Shape
from fulmen_core.data._walks import NO_LIMIT, WALKS, Item, Walk
from fulmen_interfaces import ConfigurationError, Problem, did_you_mean


class CombinedLoader(Iterable[Item]):
    """Reads several iterables together, or one after the other.

    Args:
        iterables: loaders, or anything else to iterate over, in any nesting of lists, tuples and dicts. A list or
            tuple of plain values or tensors counts as one iterable.
        mode: ``min_size`` reads a batch of each until the first ends, ``max_size_cycle`` until the longest ends while
            the others begin again, ``max_size`` likewise with None in the place of those that have ended.
            ``sequential`` reads one after the other.

    Iterating gives ``(batch, batch_idx, dataloader_idx)``. The batch has the nesting of the iterables; in sequential
    mode it is one iterable's batch, and `batch_idx` counts anew for each. `dataloader_idx` is 0 in all other modes.
    """

    def __init__(self, iterables: Any, mode: str = "min_size") -> None:
        if mode not in WALKS:
            remedy = f"{did_you_mean(mode, WALKS)} Choose one of {', '.join(WALKS)}.".lstrip()
            raise ConfigurationError([Problem("mode", mode, "There is no such mode.", remedy)])
        self._mode = mode
        self._iterables = iterables
        self._shape = Shape(iterables)
        self._flattened = self._shape.leaves
        self._limits: list[int | float] | None = None

    @property
    def mode(self) -> str:
        """The name of the order in which they are read."""
        return self._mode

    @property
    def iterables(self) -> Any:
        """The iterables, nested as they were given."""
        return self._shape.build(self._flattened)

    @property
    def flattened(self) -> list[Any]:
        """The iterables without nesting. Assign a list of the same length to read others."""
        return self._flattened

    @flattened.setter
    def flattened(self, iterables: list[Any]) -> None:
        if len(iterables) != len(self._flattened):
            raise ValueError(
                f"There are {len(self._flattened)} iterables, so {len(iterables)} cannot take their places."
            )
        self._flattened = iterables

    @property
    def limits(self) -> list[int | float] | None:
        """The most batches that count of each iterable; None for all.

        They bound the length. In sequential mode, iterating ends there too; the joint modes leave that to who iterates.
        """
        return self._limits

    @limits.setter
    def limits(self, limits: int | float | list[int | float] | None) -> None:
        if isinstance(limits, (int, float)):
            limits = [limits] * len(self._flattened)
        if limits is not None and len(limits) != len(self._flattened):
            raise ValueError(
                f"There are {len(limits)} limits for {len(self._flattened)} iterables; give one, or one for each."
            )
        self._limits = limits

    def __iter__(self) -> Iterator[Item]:
        return self.shaped(self.walk(self._flattened).start())

    def __len__(self) -> int:
        lengths = [
            min(length_of(iterable), limit) for iterable, limit in zip(self._flattened, self._bounds(), strict=True)
        ]
        length = WALKS[self._mode].length(lengths)
        if math.isinf(length):
            raise TypeError("The length is not known, because an iterable that counts for it tells none.")
        return int(length)

    def walk(self, iterables: Sequence[Iterable[Any]]) -> Walk:
        """Return a pass over iterables that stand for the ones given here, before they are nested."""
        return WALKS[self._mode](iterables, self._bounds())

    def shaped(self, items: Iterator[Item]) -> Iterator[Item]:
        """Return a walk's items with their batches nested as the iterables are."""
        if not WALKS[self._mode].joint:
            return items
        build = self._shape.build
        return ((build(batches), number, which) for batches, number, which in items)

    def _bounds(self) -> list[int | float]:
        return self._limits or [NO_LIMIT] * len(self._flattened)
