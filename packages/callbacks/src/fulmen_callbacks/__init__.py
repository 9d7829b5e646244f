"""The callbacks of fulmen: checkpoints, progress bars, summaries, early stopping and more."""

from __future__ import annotations

from fulmen_callbacks._checkpoint import Checkpoint, ModelCheckpoint, OnExceptionCheckpoint
from fulmen_callbacks._progress import ProgressBar, RichProgressBar, RichProgressBarTheme, TQDMProgressBar
from fulmen_callbacks._specs import MODEL_CHECKPOINT_SPEC, PROGRESS_BAR_SPEC

__all__ = [
    "MODEL_CHECKPOINT_SPEC",
    "PROGRESS_BAR_SPEC",
    "Checkpoint",
    "ModelCheckpoint",
    "OnExceptionCheckpoint",
    "ProgressBar",
    "RichProgressBar",
    "RichProgressBarTheme",
    "TQDMProgressBar",
]
