"""Copies to try things with: nothing that is done to them reaches the originals."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fulmen_core import LightningDataModule, LightningModule
from fulmen_interfaces import ModuleError

_DEPTH = 4
_MAX_ITEMS = 10_000  # in longer collections it takes longer to look for parts than to copy them


@dataclass(frozen=True)
class Subject:
    """A module and its data, as a trainer's method takes them."""

    module: LightningModule
    datamodule: LightningDataModule | None = None
    loaders: Mapping[str, Any] = field(default_factory=dict)
    """What was passed, by argument."""

    @property
    def datasets(self) -> list[object]:
        """What holds the data itself, which is only read and may be large."""
        found = [part for part in _walk(self.module) if isinstance(part, Dataset)]
        return found + [part for part in _walk(self._data) if isinstance(part, (Dataset, Tensor))]

    @property
    def _data(self) -> tuple[object, ...]:
        return self.datamodule, dict(self.loaders)

    def copied(self, trainer: object) -> Subject:
        """Return a copy that shares nothing that a run changes: only data sets, and the trainer.

        Raises ModuleError for what cannot be copied.
        """
        memo = {id(one): one for one in (trainer, *self.datasets)}
        if self.datamodule is not None:
            memo[id(self.datamodule.trainer)] = self.datamodule.trainer
        for part in (*_walk(self.module), *_walk(self._data)):
            if isinstance(part, DataLoader):  # its running workers cannot be copied; the copy starts some of its own
                memo[id(vars(part).get("_iterator"))] = None
        parts = (self.module, self.datamodule, dict(self.loaders))
        try:
            module, datamodule, loaders = copy.deepcopy(parts, memo)
        except Exception as error:  # anything may hide in a user's objects
            raise ModuleError(
                f"Trial runs are made with copies of {type(self.module).__name__} and its data, and something among "
                f"these cannot be copied: {type(error).__name__}: {error}. Make it in `setup`, or "
                "give its class a `__deepcopy__`."
            ) from error
        return Subject(module, datamodule, loaders)


def _walk(value: object, depth: int = 0) -> Iterator[object]:
    """Yield an object and its parts, at a few levels of nesting; not the parts of data sets."""
    yield value
    if depth <= _DEPTH and not isinstance(value, Dataset):
        for part in _parts(value):
            yield from _walk(part, depth + 1)


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, (dict, list, tuple)):
        items = value.values() if isinstance(value, dict) else value
        return items if len(items) <= _MAX_ITEMS else ()
    if isinstance(value, partial):
        return (*value.args, *value.keywords.values())
    if isinstance(value, DataLoader):
        return (value.dataset,)
    if isinstance(value, (LightningModule, LightningDataModule)):
        return vars(value).values()
    return ()
