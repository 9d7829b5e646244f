"""Log the metrics, media and checkpoints of a fulmen run to Weights & Biases."""

from __future__ import annotations

from fulmen_logger_wandb._logger import WandbLogger
from fulmen_logger_wandb._spec import WANDB_SPEC

__all__ = ["WANDB_SPEC", "WandbLogger"]
