"""Keys of a checkpoint that are not words of their own."""

from __future__ import annotations

VERSION_KEY = "pytorch-lightning_version"
LIGHTNING_VERSION = "2.6.6"
"""The release of Lightning whose layout the file has."""
OWN_KEY = "fulmen"
"""Holds what Lightning's layout has no place for; Lightning ignores it."""
FORMAT_VERSION = 1
SCALER_KEY = "MixedPrecision"
"""Holds the loss scaler's state."""
