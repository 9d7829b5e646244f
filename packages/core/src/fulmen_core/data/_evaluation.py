"""Reading validation, test and prediction data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any

from fulmen_core.data._checks import require_batches
from fulmen_core.data._combined import CombinedLoader
from fulmen_core.data._epoch import set_epoch
from fulmen_core.data._indices import IndexRecord
from fulmen_core.data._limits import batches_under_limit, length_of
from fulmen_core.data._sharding import is_dealt, share_of_dealt
from fulmen_core.data._stock import Twin, has_live_workers, is_stock
from fulmen_core.data._tree import Shape, holds_batches
from fulmen_core.random import capture_generators, restore_generators

Pass = tuple[int, Any, Iterator[Any]]
"""The number of a loader, the loader, and its batches."""


class EvaluationData:
    """Several loaders, read one after the other.

    Args:
        loaders: one loader, a nested collection of loaders, or a CombinedLoader. In a mode other than sequential, a
            CombinedLoader counts as one loader, whose batches hold one of each.
        limit: batches of each loader (int), or the share of them (float).
        hook: what the data came from, for errors.
        argument: what `limit` came from, for errors.
        indices: where to record which samples are read, if anybody asks.

    `state_dict` holds what later training depends on: whether worker processes were running, which decides whether a
    new pass draws their seed from the global generators, and the loaders' own generators.
    """

    def __init__(
        self,
        loaders: Any,
        *,
        limit: int | float = 1.0,
        hook: str = "val_dataloader",
        argument: str = "limit_val_batches",
        indices: IndexRecord | None = None,
    ) -> None:
        self.indices = indices
        self.loaders = _in_sequence(loaders)
        """The loaders, by number."""
        for loader in self.loaders:
            require_batches(loader, f"`{hook}` gave")
        self._bounds = _bounds(loaders, len(self.loaders))
        self._limit = limit
        self._argument = argument
        self._parts = [each.flattened if isinstance(each, CombinedLoader) else [each] for each in self.loaders]
        self._read_from: list[list[Any]] = [list(parts) for parts in self._parts]
        self.count()

    def count(self) -> None:
        """Look how many batches the loaders have: now, and between two passes where data may have come or gone."""
        self.num_batches = [self._within_limit(*each) for each in zip(self.loaders, self._bounds, strict=True)]
        """Batches of each loader; `inf` where it does not tell."""

    def __iter__(self) -> Iterator[Pass]:
        return self.passes()

    def passes(self, *, at_most: int | float = math.inf, epoch: int = 0, also_empty: bool = False) -> Iterator[Pass]:
        """Yield every loader that has batches, with at most so many of them. Samplers are told the epoch.

        With `also_empty` those without are given, too: other processes may have batches of them.
        """
        for number, loader in enumerate(self.loaders):
            wanted = min(self.num_batches[number], at_most)
            if wanted > 0:
                set_epoch(loader, epoch)
                yield number, loader, self._batches(number, wanted)
            elif also_empty:
                yield number, loader, iter(())

    def state_dict(self) -> dict[str, Any]:
        """Return plain values and tensors."""
        workers = [[has_live_workers(part) for part in parts] for parts in self._read_from]
        return {"version": 1, "workers": workers, "generators": [capture_generators(loader) for loader in self.loaders]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next pass draw what it would have drawn. State of another number of loaders is left out."""
        if [len(parts) for parts in state["workers"]] != [len(parts) for parts in self._parts]:
            return
        for number, running in enumerate(state["workers"]):
            pairs = zip(self._parts[number], running, strict=True)
            self._read_from[number] = [_with_workers(part) if warm else part for part, warm in pairs]
            restore_generators(self.loaders[number], state["generators"][number])

    def _within_limit(self, loader: Any, bound: int | float) -> int | float:
        length = min(length_of(loader), bound)
        if isinstance(self._limit, int) or not is_dealt(loader):
            return batches_under_limit(length, self._limit, self._argument)
        return min(length, share_of_dealt(loader, self._limit, self._argument))

    def _batches(self, number: int, wanted: int | float) -> Iterator[Any]:
        loader, parts = self.loaders[number], self._read_from[number]
        batches: Iterator[Any]
        if isinstance(loader, CombinedLoader):
            batches = map(itemgetter(0), loader.shaped(loader.walk(parts).start()))
        else:
            batches = iter(parts[0] if self.indices is None else self.indices.reading(number, parts[0]))
        return batches if wanted >= length_of(loader) else islice(batches, int(wanted))


def _with_workers(loader: Any) -> Any:
    return Twin(loader, warm=True) if is_stock(loader) and not has_live_workers(loader) else loader


def _in_sequence(loaders: Any) -> list[Any]:
    if isinstance(loaders, CombinedLoader):
        return list(loaders.flattened) if loaders.mode == "sequential" else [loaders]
    if isinstance(loaders, (list, tuple, dict)):
        if not loaders:
            return []
        if not holds_batches(loaders):
            return Shape(loaders).leaves
    return [loaders]


def _bounds(loaders: Any, count: int) -> Sequence[int | float]:
    limits = loaders.limits if isinstance(loaders, CombinedLoader) and loaders.mode == "sequential" else None
    return limits or [math.inf] * count
