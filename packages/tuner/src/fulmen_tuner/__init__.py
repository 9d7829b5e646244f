"""The tuner of fulmen: learning rate and batch size, found by trial runs."""

from __future__ import annotations

from fulmen_tuner._curve import LearningRateCurve
from fulmen_tuner._finders import BatchSizeFinder, LearningRateFinder
from fulmen_tuner._specs import BATCH_SIZE_FINDER_SPEC, LEARNING_RATE_FINDER_SPEC, TUNER_SPEC
from fulmen_tuner._tuner import Tuner

__all__ = [
    "BATCH_SIZE_FINDER_SPEC",
    "LEARNING_RATE_FINDER_SPEC",
    "TUNER_SPEC",
    "BatchSizeFinder",
    "LearningRateCurve",
    "LearningRateFinder",
    "Tuner",
]
