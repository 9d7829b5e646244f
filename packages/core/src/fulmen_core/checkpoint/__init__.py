"""Checkpoints: files that are written whole, and objects made again from them."""

from __future__ import annotations

from fulmen_core.checkpoint._async import AsyncCheckpointIO
from fulmen_core.checkpoint._consolidate import consolidate_checkpoint
from fulmen_core.checkpoint._directories import open_checkpoint, save_directory
from fulmen_core.checkpoint._io import TorchCheckpointIO
from fulmen_core.checkpoint._objects import CheckpointSource, load_datamodule, load_module
from fulmen_core.checkpoint._places import modified, opened_for_writing
from fulmen_core.checkpoint._saved import StoredOptimizer, StoredState
from fulmen_core.checkpoint._writers import Writers

__all__ = [
    "AsyncCheckpointIO",
    "CheckpointSource",
    "StoredOptimizer",
    "StoredState",
    "TorchCheckpointIO",
    "Writers",
    "consolidate_checkpoint",
    "load_datamodule",
    "load_module",
    "modified",
    "open_checkpoint",
    "opened_for_writing",
    "save_directory",
]
