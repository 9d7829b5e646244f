"""Callbacks: behaviour beside the module, chosen per run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fulmen._lazy import Offer, lazily

if TYPE_CHECKING:
    from fulmen_callbacks import *  # noqa: F403
    from fulmen_interfaces import Callback as Callback
    from fulmen_tuner import BatchSizeFinder as BatchSizeFinder
    from fulmen_tuner import LearningRateFinder as LearningRateFinder

_NAMES = {
    "BatchSizeFinder": "fulmen_tuner",
    "Callback": "fulmen_interfaces",
    "LearningRateFinder": "fulmen_tuner",
}

__getattr__, __dir__ = lazily(Offer(__name__, _NAMES, packages=("fulmen_callbacks",)))
