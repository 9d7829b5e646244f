"""Callbacks: behaviour beside the module, chosen per run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fulmen._lazy import Offer, lazily

if TYPE_CHECKING:
    from fulmen_callbacks import *  # noqa: F403
    from fulmen_interfaces import Callback as Callback

_NAMES = {
    "Callback": "fulmen_interfaces",
}

__getattr__, __dir__ = lazily(Offer(__name__, _NAMES, packages=("fulmen_callbacks",)))
