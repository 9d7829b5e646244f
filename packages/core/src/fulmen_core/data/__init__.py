"""Data: loaders, their position in a run, and how batches reach a device."""

from __future__ import annotations

from fulmen_core.data._combined import CombinedLoader
from fulmen_core.data._cursor import TrainingCursor
from fulmen_core.data._data_hooks import DataHooks
from fulmen_core.data._datamodule import LightningDataModule
from fulmen_core.data._epoch import set_epoch
from fulmen_core.data._limits import batches_under_limit, length_of
from fulmen_core.data._transfer import move_to_device, transfer_function

__all__ = [
    "CombinedLoader",
    "DataHooks",
    "LightningDataModule",
    "TrainingCursor",
    "batches_under_limit",
    "length_of",
    "move_to_device",
    "set_epoch",
    "transfer_function",
]
