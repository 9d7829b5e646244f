"""torch's own `DataLoader`: reading other indices, or with other draws, without touching the user's object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeGuard

import torch
from torch.utils.data import DataLoader, IterableDataset

# What a subclass may define and still be read as torch reads a DataLoader.
_HARMLESS = {"__init__", "__module__", "__doc__", "__dict__", "__weakref__", "__parameters__", "__orig_bases__"}
_HARMLESS |= {"__annotations__", "__qualname__", "__firstlineno__", "__static_attributes__", "__init_subclass__"}


def is_stock(loader: object) -> TypeGuard[DataLoader[Any]]:
    """Whether it is a `DataLoader` that is read as torch reads it; subclasses may only add to what it does."""
    return isinstance(loader, DataLoader) and not own_ways(loader)


def own_ways(loader: DataLoader[Any]) -> set[str]:
    """Return what its class has overridden of how a `DataLoader` reads."""
    own = type(loader).__mro__[: type(loader).__mro__.index(DataLoader)]
    return ({name for cls in own for name in vars(cls)} & set(dir(DataLoader))) - _HARMLESS


def is_indexed(loader: object) -> TypeGuard[DataLoader[Any]]:
    """Whether it is a stock `DataLoader` that asks its data set for indices."""
    return is_stock(loader) and not isinstance(loader.dataset, IterableDataset)


def is_estimate(loader: object) -> bool:
    """Whether its length is a guess: several workers may give more, or fewer, batches of an IterableDataset."""
    return isinstance(loader, DataLoader) and isinstance(loader.dataset, IterableDataset) and loader.num_workers > 0


def index_sampler(loader: DataLoader[Any]) -> Iterable[Any]:
    """Return what decides what is read: the batch sampler, or the sampler where samples are not batched."""
    return loader.sampler if loader.batch_sampler is None else loader.batch_sampler


def reads_in_this_process(loader: object) -> bool:
    """Whether reading a batch may draw from this process' random generators."""
    return not (isinstance(loader, DataLoader) and loader.num_workers > 0)


def keeps_workers(loader: object) -> bool:
    """Whether its worker processes outlive an epoch."""
    return isinstance(loader, DataLoader) and loader.num_workers > 0 and loader.persistent_workers


def has_live_workers(loader: object) -> bool:
    """Whether persistent workers already run: `iter` then draws no seed for them from the random generators."""
    if isinstance(loader, Twin):
        return loader.persistent_workers
    # torch tells it nowhere in public, and who iterated the loader before we saw it cannot be known otherwise.
    return keeps_workers(loader) and getattr(loader, "_iterator", None) is not None


class IndexFeed:
    """The indices of another sampler, of which the first can be left out once."""

    def __init__(self, sampler: Iterable[Any], skip: int = 0) -> None:
        self._sampler = sampler
        self._skip = skip
        self._held: IndexTail | None = None
        self.newest = IndexTail(iter(()), 0)
        """The iterator that was made last."""

    def __iter__(self) -> IndexTail:
        self.newest = self._held or IndexTail(iter(self._sampler), self._skip)
        return self.newest

    def hold(self) -> None:
        """Ask the sampler for one iterator now and give that one to everybody, until `release`."""
        self._held = IndexTail(iter(self._sampler), self._skip)

    def release(self) -> None:
        """From the next iteration on, ask the sampler every time and leave nothing out."""
        self._held = None
        self._skip = 0


class IndexTail:
    """What is left of an iterator behind its first few items."""

    def __init__(self, iterator: Iterator[Any], skip: int) -> None:
        self._iterator = iterator
        self._skip = skip
        self.skipped = 0
        """Items that were left out so far."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._skip:
            self.advance()
        return next(self._iterator)

    def advance(self, count: int | None = None) -> None:
        """Leave out `count` of the items that are to be left out (default: all) now, not when the next is asked for."""
        wanted = self._skip if count is None else min(count, self._skip)
        self._skip -= wanted
        self.skipped += sum(1 for _ in islice(self._iterator, wanted))


class Twin:
    """Reads the data of a stock loader in the same way, but from the middle, or with workers that were running before.

    The user's loader is not touched. With persistent workers the twin is read in all later epochs too.
    """

    def __init__(self, loader: DataLoader[Any], *, skip: int = 0, warm: bool = False) -> None:
        self._feed = IndexFeed(index_sampler(loader), skip)
        self._warm = warm
        # Where workers were running, making an iterator drew no seed from the loader's generator or the global one.
        self._loader = reading(loader, self._feed, generator=torch.Generator() if warm else loader.generator)
        self.persistent_workers = keeps_workers(loader)
        """Whether its worker processes run, or count as running, between epochs."""

    def __iter__(self) -> Iterator[Any]:
        if not self._warm or has_live_workers(self._loader):
            iterator = iter(self._loader)
        else:
            if self._loader.generator is not None:
                self._loader.generator.set_state(torch.get_rng_state())
            self._feed.hold()
            iterator = iter(self._loader)
        self._feed.release()
        return iterator

    @property
    def tail(self) -> IndexTail:
        """The indices of the newest iteration."""
        return self._feed.newest


def reading(loader: DataLoader[Any], indices: Iterable[Any], **changes: Any) -> DataLoader[Any]:
    """Return a loader that reads other indices (lists of them where it makes batches) of the same data alike."""
    options: dict[str, Any] = {
        name: getattr(loader, name)
        for name in (
            *("dataset", "num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn"),
            *("multiprocessing_context", "persistent_workers", "in_order", "generator"),
        )
        if hasattr(loader, name)
    }
    if loader.num_workers > 0:
        options["prefetch_factor"] = loader.prefetch_factor
    if not is_indexed(loader):
        options |= {"batch_size": loader.batch_size, "drop_last": loader.drop_last}
    elif loader.batch_sampler is None:
        options |= {"batch_size": None, "sampler": indices}
    else:
        options["batch_sampler"] = indices
    return DataLoader(**{**options, **changes})
