"""Finding out whether worker processes draw random numbers while they read."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from fulmen_core.data._stock import index_sampler
from fulmen_core.random import Snapshot, capture_generators, same_generators


def draws_in_workers(loader: DataLoader[Any], skip: int, *, seeds_workers: bool) -> bool:
    """Read the batch behind the first `skip` in a worker of its own and return whether that drew random numbers.

    In a worker, because data sets may open files at the first read that must not be shared with this process. Draws
    from this process' generators as a new iterator would (a seed for workers where `seeds_workers`): restore them
    afterwards.
    """
    if seeds_workers:  # an iterator that starts workers asks for indices, draws their seed, and asks anew
        iter(index_sampler(loader))
        torch.empty((), dtype=torch.int64).random_(generator=loader.generator)
    indices = list(islice(iter(index_sampler(loader)), skip, skip + 1))
    probe = DataLoader(
        _Probe(loader.dataset, loader.collate_fn, batched=loader.batch_sampler is not None),
        batch_size=None,
        sampler=indices,
        num_workers=1,
        collate_fn=_unchanged,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=torch.Generator(),
    )
    return any(probe)


class _Probe(Dataset[bool]):
    """Reads what it is asked for, and says whether that drew random numbers."""

    def __init__(self, dataset: Any, collate: Callable[[Any], Any], *, batched: bool) -> None:
        self._parts = (dataset, collate)
        self._batched = batched

    def __getitem__(self, index: Any) -> bool:
        before, owned = Snapshot.take(), capture_generators(self._parts)
        self._parts[1](self._samples(index))
        return not (before.same_as(Snapshot.take()) and same_generators(owned, capture_generators(self._parts)))

    def _samples(self, index: Any) -> Any:
        dataset = self._parts[0]
        if not self._batched:
            return dataset[index]
        many = getattr(dataset, "__getitems__", None)
        return many(index) if many else [dataset[one] for one in index]


def _unchanged(value: Any) -> Any:
    return value
