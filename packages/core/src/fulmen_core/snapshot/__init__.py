"""Snapshots: a run's state as a checkpoint, and back."""

from __future__ import annotations

from fulmen_core.snapshot._dump import dump
from fulmen_core.snapshot._keys import LIGHTNING_VERSION, OWN_KEY, SCALER_KEY, VERSION_KEY
from fulmen_core.snapshot._restore import (
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
    "restore_callbacks",
    "restore_datamodule",
    "restore_optimizers",
    "restore_position",
    "restore_progress",
    "restore_weights",
]
