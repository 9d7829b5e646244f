"""The tuner: learning rate and batch size by trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fulmen._lazy import Offer, lazily

if TYPE_CHECKING:
    from fulmen_tuner import LearningRateCurve as LearningRateCurve
    from fulmen_tuner import Tuner as Tuner

_NAMES = {
    "LearningRateCurve": "fulmen_tuner",
    "Tuner": "fulmen_tuner",
}

__getattr__, __dir__ = lazily(Offer(__name__, _NAMES))
