"""Looking at loaders before a run reads them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sized
from typing import Any, cast

from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from fulmen_core.data._combined import CombinedLoader
from fulmen_core.data._stock import index_sampler, is_indexed, reading
from fulmen_core.data._tree import map_loaders
from fulmen_interfaces import DataError, rank_zero_warn

_log = logging.getLogger("fulmen")


def require_batches(loaders: Any, source: str) -> None:
    """Refuse what gives no batches; `source` says who gave it. Raises DataError.

    A data set of torch holds samples. One that has no `__iter__` would be read by ever higher indices, each sample
    taken for a batch, and need not end.
    """
    for loader in loaders.flattened if isinstance(loaders, CombinedLoader) else [loaders]:
        if isinstance(loader, Dataset) and not isinstance(loader, Iterable):
            raise DataError(
                f"{source} a {type(loader).__name__}, which holds samples, not batches. Give"
                " DataLoader(dataset, batch_size=32), or batch_size=None where each item is a batch already."
            )
        if isinstance(loader, (str, bytes)) or not (isinstance(loader, Iterable) or hasattr(loader, "__getitem__")):
            raise DataError(f"{source} {loader!r}, which gives no batches. Give a DataLoader or any iterable.")


def in_fixed_order(loaders: Any, hook: str) -> Any:
    """Return loaders that give the same batches in every epoch, for `overfit_batches`.

    Stock DataLoaders with a sampler of another kind are read through a copy with a SequentialSampler, with a warning;
    the user's objects stay as they are. What cannot be read in order that way is returned as it is, with a warning if
    it has a sampler of its own.
    """
    if isinstance(loaders, CombinedLoader):
        combined = CombinedLoader(map_loaders(loaders.iterables, lambda each: in_fixed_order(each, hook)), loaders.mode)
        combined.limits = loaders.limits
        return combined
    return map_loaders(loaders, lambda loader: _ordered(loader, hook))


def _ordered(loader: Any, hook: str) -> Any:
    if not isinstance(loader, DataLoader) or not is_indexed(loader):
        return loader
    indices = cast(Any, index_sampler(loader))
    decides = getattr(indices, "sampler", indices)
    if isinstance(decides, SequentialSampler):
        return loader
    in_batches = type(indices) is BatchSampler
    if loader.batch_sampler is not None and not in_batches:
        rank_zero_warn(
            "overfit_batches wants the same batches in every epoch, but the batch sampler"
            f" {type(indices).__name__} of `{hook}` decides itself what they are."
            " Give a DataLoader without it if its batches change."
        )
        return loader
    rank_zero_warn(
        f"overfit_batches wants the same batches in every epoch: the data of `{hook}` is read in its own order, without"
        f" {type(decides).__name__}. Give a loader with shuffle=False to say so yourself."
    )
    in_order = SequentialSampler(cast(Sized, loader.dataset))
    return reading(loader, BatchSampler(in_order, indices.batch_size, indices.drop_last) if in_batches else in_order)


def hint_workers(loader: Any, hook: str) -> None:
    """Write a line at level DEBUG where a loader reads in this process although there are more processors."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(loader, DataLoader) and loader.num_workers == 0 and processors > 1:
        _log.debug(
            "%s reads in this process; %d processors could read in DataLoader(num_workers=...).", hook, processors
        )
