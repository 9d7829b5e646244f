"""Snapshots: a run's state as a checkpoint, and back."""

from __future__ import annotations

from fulmen_core.snapshot._dump import dump, sharded
from fulmen_core.snapshot._files import save_snapshot
from fulmen_core.snapshot._keys import LIGHTNING_VERSION, OWN_KEY, SCALER_KEY, VERSION_KEY
from fulmen_core.snapshot._plain_numbers import plain_numbers
from fulmen_core.snapshot._restore import (
    load_optimizer,
    load_weights,
    restore_callbacks,
    restore_datamodule,
    restore_optimizers,
    restore_position,
    restore_progress,
    restore_weights,
)

__all__ = [
    "LIGHTNING_VERSION",
    "OWN_KEY",
    "SCALER_KEY",
    "VERSION_KEY",
    "dump",
    "load_optimizer",
    "load_weights",
    "plain_numbers",
    "restore_callbacks",
    "restore_datamodule",
    "restore_optimizers",
    "restore_position",
    "restore_progress",
    "restore_weights",
    "save_snapshot",
    "sharded",
]
