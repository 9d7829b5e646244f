"""What one call of `fit`, `validate`, `test` or `predict` was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fulmen_core.module import LightningModule
from fulmen_interfaces import Stage


@dataclass(frozen=True)
class Job:
    """One call."""

    stage: Stage
    module: LightningModule
    datamodule: Any = None
    train_dataloaders: Any = None
    dataloaders: Any = None
    """Validation loaders of a fit; the loaders of any other stage."""
    ckpt_path: str | None = None
    weights_only: bool | None = None
    verbose: bool = True
    return_predictions: bool = True
