"""The version of the umbrella, read when it is asked for."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("fulmen")
