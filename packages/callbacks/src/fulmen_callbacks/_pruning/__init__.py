"""Pruning: weights set to zero during training."""

from __future__ import annotations

from fulmen_callbacks._pruning._callback import ModelPruning

__all__ = ["ModelPruning"]
