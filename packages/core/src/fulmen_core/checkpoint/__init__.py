"""Checkpoints: files that are written whole, and objects made again from them."""

from __future__ import annotations

from fulmen_core.checkpoint._io import TorchCheckpointIO
from fulmen_core.checkpoint._objects import CheckpointSource, class_only, load_datamodule, load_module
from fulmen_core.checkpoint._places import modified, opened_for_writing

__all__ = [
    "CheckpointSource",
    "TorchCheckpointIO",
    "class_only",
    "load_datamodule",
    "load_module",
    "modified",
    "opened_for_writing",
]
