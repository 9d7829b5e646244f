"""The core of fulmen: modules, trainer and loops. It knows no device and no strategy; it finds them by name."""

from __future__ import annotations

from fulmen_core.data import CombinedLoader, LightningDataModule
from fulmen_core.module import LightningModule, LightningOptimizer
from fulmen_core.trainer import Trainer

__all__ = ["CombinedLoader", "LightningDataModule", "LightningModule", "LightningOptimizer", "Trainer"]
