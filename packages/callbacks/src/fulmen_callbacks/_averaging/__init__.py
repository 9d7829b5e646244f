"""Averages of the weights over the steps of training."""

from __future__ import annotations

from fulmen_callbacks._averaging._callbacks import EMAWeightAveraging, WeightAveraging

__all__ = ["EMAWeightAveraging", "WeightAveraging"]
