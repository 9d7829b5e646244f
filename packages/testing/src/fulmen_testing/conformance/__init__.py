"""Test classes that judge a plugin by its own spec. Derive from one, set `spec`, and let pytest collect the class."""

from __future__ import annotations

from fulmen_testing.conformance._accelerator import AcceleratorConformance
from fulmen_testing.conformance._base import Conformance
from fulmen_testing.conformance._callback import CallbackConformance
from fulmen_testing.conformance._checkpoint_io import CheckpointIOConformance
from fulmen_testing.conformance._logger import LoggerConformance
from fulmen_testing.conformance._precision import PrecisionConformance
from fulmen_testing.conformance._strategy import StrategyConformance

__all__ = [
    "AcceleratorConformance",
    "CallbackConformance",
    "CheckpointIOConformance",
    "Conformance",
    "LoggerConformance",
    "PrecisionConformance",
    "StrategyConformance",
]
