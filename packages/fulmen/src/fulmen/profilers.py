"""Profilers: where the time of a step goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fulmen._lazy import Offer, lazily

if TYPE_CHECKING:
    from fulmen_profilers import AdvancedProfiler as AdvancedProfiler
    from fulmen_profilers import PassThroughProfiler as PassThroughProfiler
    from fulmen_profilers import Profiler as Profiler
    from fulmen_profilers import PyTorchProfiler as PyTorchProfiler
    from fulmen_profilers import SimpleProfiler as SimpleProfiler

_NAMES = {
    "AdvancedProfiler": "fulmen_profilers",
    "PassThroughProfiler": "fulmen_profilers",
    "Profiler": "fulmen_profilers",
    "PyTorchProfiler": "fulmen_profilers",
    "SimpleProfiler": "fulmen_profilers",
}

__getattr__, __dir__ = lazily(Offer(__name__, _NAMES))
