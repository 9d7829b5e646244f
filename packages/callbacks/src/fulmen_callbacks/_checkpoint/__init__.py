"""Checkpoints: when they are written, what they are called, and which of them stay."""

from __future__ import annotations

from fulmen_callbacks._checkpoint._base import Checkpoint
from fulmen_callbacks._checkpoint._model_checkpoint import ModelCheckpoint
from fulmen_callbacks._checkpoint._on_exception import OnExceptionCheckpoint

__all__ = ["Checkpoint", "ModelCheckpoint", "OnExceptionCheckpoint"]
