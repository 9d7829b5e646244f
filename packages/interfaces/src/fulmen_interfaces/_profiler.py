"""Profilers: where the time of a step goes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import nn


@runtime_checkable
class Profiler(Protocol):
    """Receives named spans of time. The loop is built without any call into it where there is none."""

    def setup(self, stage: str, rank: int, log_dir: str | None, /) -> None:
        """Begin a run."""
        ...

    def profile(self, action: str, /) -> AbstractContextManager[Any]:
        """Return a context that measures one occurrence of the action, for example `training_step`."""
        ...

    def step(self) -> None:
        """Mark the end of one batch (a schedule of recording may advance); in a fit, of one training batch."""
        ...

    def describe(self) -> None:
        """Print or write what was measured. Called once, at the end of the run."""
        ...

    def teardown(self, stage: str, /) -> None:
        """End the run, also after errors."""
        ...


class PassThroughProfiler:
    """Measures nothing: `trainer.profiler` of runs without one, and for code that is called with one or without."""

    def setup(self, stage: str, rank: int = 0, log_dir: str | None = None) -> None: ...

    def profile(self, action: str) -> AbstractContextManager[None]:
        return _UNMEASURED

    def start(self, action: str) -> None: ...

    def stop(self, action: str) -> None: ...

    def step(self) -> None: ...

    def summary(self) -> str:
        return ""

    def describe(self) -> None: ...

    def teardown(self, stage: str) -> None: ...


_UNMEASURED = nullcontext()


@runtime_checkable
class SupportsModuleProfiling(Protocol):
    """Optional: a profiler that tells the parts of a model apart."""

    def attach(self, module: nn.Module) -> None:
        """Take the user's module. Called on every rank once the model is prepared, before its first step."""
        ...
