"""The tuner of fulmen: learning rate and batch size, found by trial runs."""

from __future__ import annotations

from fulmen_tuner._curve import LearningRateCurve
from fulmen_tuner._finders import BatchSizeFinder, LearningRateFinder
from fulmen_tuner._tuner import TUNER_SPEC, Tuner

__all__ = [
    "TUNER_SPEC",
    "BatchSizeFinder",
    "LearningRateCurve",
    "LearningRateFinder",
    "Tuner",
]
