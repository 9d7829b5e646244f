"""The Trainer."""

from __future__ import annotations

from fulmen_core.trainer._properties import TrainerState
from fulmen_core.trainer._trainer import Trainer

__all__ = ["Trainer", "TrainerState"]
