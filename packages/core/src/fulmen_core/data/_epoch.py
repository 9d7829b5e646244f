"""Telling samplers and data sets which epoch begins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fulmen_core.data._combined import CombinedLoader


def set_epoch(loader: Any, epoch: int) -> None:
    """Call `set_epoch(epoch)` of the loader, its samplers and its data set, once of each that has it."""
    told: set[int] = set()
    for part in _parts(loader):
        method = getattr(part, "set_epoch", None)
        if id(part) not in told and callable(method):
            told.add(id(part))
            method(epoch)


def _parts(loader: Any) -> Iterator[Any]:
    if isinstance(loader, CombinedLoader):
        for each in loader.flattened:
            yield from _parts(each)
        return
    yield loader
    for name in ("sampler", "batch_sampler", "dataset"):
        part = getattr(loader, name, None)
        yield part
        yield getattr(part, "sampler", None)
