"""Data: where it comes from, its position in a run, and how batches reach a device."""

from __future__ import annotations

from fulmen_core.data._batch_size import BatchSizes
from fulmen_core.data._checks import hint_workers, in_fixed_order, require_batches
from fulmen_core.data._combined import CombinedLoader
from fulmen_core.data._cursor import TrainingCursor
from fulmen_core.data._datamodule import LightningDataModule
from fulmen_core.data._epoch import set_epoch
from fulmen_core.data._evaluation import EvaluationData
from fulmen_core.data._indices import IndexRecord
from fulmen_core.data._limits import batch_size_of, batches_under_limit, length_of
from fulmen_core.data._prefetch import DevicePrefetch, prefetch_to_device
from fulmen_core.data._ranked_cursor import RankedCursor
from fulmen_core.data._ranks import Ranks
from fulmen_core.data._sharding import Part, RankAware, Sharding, is_dealt
from fulmen_core.data._sources import DataSource, training_loader
from fulmen_core.data._stock import index_sampler, is_indexed, reading
from fulmen_core.data._tree import map_loaders
from fulmen_core.data._workers import seed_workers

__all__ = [
    "BatchSizes",
    "CombinedLoader",
    "DataSource",
    "DevicePrefetch",
    "EvaluationData",
    "IndexRecord",
    "LightningDataModule",
    "Part",
    "RankAware",
    "RankedCursor",
    "Ranks",
    "Sharding",
    "TrainingCursor",
    "batch_size_of",
    "batches_under_limit",
    "hint_workers",
    "in_fixed_order",
    "index_sampler",
    "is_dealt",
    "is_indexed",
    "length_of",
    "map_loaders",
    "prefetch_to_device",
    "reading",
    "require_batches",
    "seed_workers",
    "set_epoch",
    "training_loader",
]
