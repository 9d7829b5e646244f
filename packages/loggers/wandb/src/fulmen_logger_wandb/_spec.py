"""What the entry point leads to."""

from __future__ import annotations

from fulmen_interfaces import LoggerSpec
from fulmen_logger_wandb._logger import WandbLogger

WANDB_SPEC = LoggerSpec(
    name="wandb",
    create=WandbLogger,
    summary="Metrics, media and checkpoints in Weights & Biases",
)
