"""The tuner: learning rate and batch size by trial."""

from __future__ import annotations

from fulmen._lazy import Offer, lazily

_NAMES = {
    "Tuner": "fulmen_tuner",
}

__getattr__, __dir__ = lazily(Offer(__name__, _NAMES))
