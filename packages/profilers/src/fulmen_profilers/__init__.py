"""The profilers of fulmen: where the time of a run goes, by step, by function or by kernel."""

from __future__ import annotations

from fulmen_interfaces import PassThroughProfiler
from fulmen_profilers._advanced import AdvancedProfiler
from fulmen_profilers._base import Profiler
from fulmen_profilers._pytorch import PyTorchProfiler
from fulmen_profilers._simple import SimpleProfiler
from fulmen_profilers._specs import ADVANCED_SPEC, PYTORCH_SPEC, SIMPLE_SPEC

__all__ = [
    "ADVANCED_SPEC",
    "PYTORCH_SPEC",
    "SIMPLE_SPEC",
    "AdvancedProfiler",
    "PassThroughProfiler",
    "Profiler",
    "PyTorchProfiler",
    "SimpleProfiler",
]
