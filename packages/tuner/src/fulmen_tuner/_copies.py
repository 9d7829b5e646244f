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
        data = (self.datamodule, dict(self.loaders))
        return [*_datasets(self.module, tensors=False), *_datasets(data, tensors=True)]

    def copied(self, trainer: object) -> Subject:
        """Return a copy that shares nothing that a run changes: only data sets, and the trainer.

        Raises ModuleError for what cannot be copied.
        """
        shared = [trainer, *self.datasets]
        if self.datamodule is not None:
            shared.append(self.datamodule.trainer)
        parts = (self.module, self.datamodule, dict(self.loaders))
        try:
            module, datamodule, loaders = copy.deepcopy(parts, {id(one): one for one in shared})
        except Exception as error:  # anything may hide in a user's objects
            raise ModuleError(
                f"Trial runs are made with copies of {type(self.module).__name__} and its data, and something among "
                f"these cannot be copied: {type(error).__name__}: {error}. Make it in `setup` or `train_dataloader`, or "
                "give its class a `__deepcopy__`."
            ) from error
        return Subject(module, datamodule, loaders)


def _datasets(value: object, *, tensors: bool, depth: int = 0) -> Iterator[object]:
    """Yield data sets, and the tensors that stand beside them, at a few levels of nesting."""
    if isinstance(value, Dataset) or (tensors and isinstance(value, Tensor)):
        yield value
    elif depth <= _DEPTH:
        for part in _parts(value):
            yield from _datasets(part, tensors=tensors, depth=depth + 1)


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, partial):
        return (*value.args, *value.keywords.values())
    if isinstance(value, DataLoader):
        return (value.dataset,)
    if isinstance(value, (LightningModule, LightningDataModule)):
        return vars(value).values()
    return ()
