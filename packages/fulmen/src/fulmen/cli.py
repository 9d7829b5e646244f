"""The command line: runs from arguments and files."""

from __future__ import annotations

from fulmen._lazy import Offer, lazily

_NAMES = {
    "LightningCLI": "fulmen_cli",
}

__getattr__, __dir__ = lazily(Offer(__name__, _NAMES))
