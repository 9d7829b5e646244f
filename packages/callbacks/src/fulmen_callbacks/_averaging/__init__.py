"""Averages of the weights over the steps of training."""

from __future__ import annotations

from fulmen_callbacks._averaging._callbacks import EMAWeightAveraging, WeightAveraging
from fulmen_callbacks._averaging._swa import StochasticWeightAveraging

__all__ = ["EMAWeightAveraging", "StochasticWeightAveraging", "WeightAveraging"]
