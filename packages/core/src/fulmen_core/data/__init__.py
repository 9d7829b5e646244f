"""Data: where it comes from, its position in a run, and how batches reach a device."""

from __future__ import annotations

from fulmen_core.data._batch_size import BatchSizes
from fulmen_core.data._checks import hint_workers, in_fixed_order
from fulmen_core.data._combined import CombinedLoader
from fulmen_core.data._cursor import TrainingCursor
from fulmen_core.data._data_hooks import DataHooks, overrides_data_hook
from fulmen_core.data._datamodule import LightningDataModule
from fulmen_core.data._epoch import set_epoch
from fulmen_core.data._evaluation import EvaluationData
from fulmen_core.data._indices import IndexRecord
from fulmen_core.data._limits import batches_under_limit, length_of
from fulmen_core.data._prefetch import DevicePrefetch, prefetch_to_device
from fulmen_core.data._sharding import Sharding
from fulmen_core.data._sources import DataSource, training_loader
from fulmen_core.data._stock import index_sampler, is_indexed, reading
from fulmen_core.data._transfer import move_to_device, transfer_function
from fulmen_core.data._tree import map_loaders

__all__ = [
    "BatchSizes",
    "CombinedLoader",
    "DataHooks",
    "DataSource",
    "DevicePrefetch",
    "EvaluationData",
    "IndexRecord",
    "LightningDataModule",
    "Sharding",
    "TrainingCursor",
    "batches_under_limit",
    "hint_workers",
    "in_fixed_order",
    "index_sampler",
    "is_indexed",
    "length_of",
    "map_loaders",
    "move_to_device",
    "overrides_data_hook",
    "prefetch_to_device",
    "reading",
    "set_epoch",
    "training_loader",
    "transfer_function",
]
