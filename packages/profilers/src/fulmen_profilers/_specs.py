"""What the entry points lead to."""

from __future__ import annotations

from fulmen_interfaces import ProfilerSpec
from fulmen_profilers._advanced import AdvancedProfiler
from fulmen_profilers._pytorch import PyTorchProfiler
from fulmen_profilers._simple import SimpleProfiler

SIMPLE_SPEC = ProfilerSpec(
    name="simple",
    create=SimpleProfiler,
    summary="A table of where the time of a run goes",
)

ADVANCED_SPEC = ProfilerSpec(
    name="advanced",
    create=AdvancedProfiler,
    summary="The functions behind each action, by cProfile",
)

PYTORCH_SPEC = ProfilerSpec(
    name="pytorch",
    create=PyTorchProfiler,
    summary="The operators and kernels of a few batches, as a table and a trace",
)
