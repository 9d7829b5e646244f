"""The Trainer."""

from __future__ import annotations

from fulmen_core.trainer._trainer import Trainer
from fulmen_core.trainer.properties import TrainerState

__all__ = ["Trainer", "TrainerState"]
