"""What torch records with during one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Protocol

import torch
from torch import nn
from torch.profiler import ProfilerAction, profile, schedule

from fulmen_interfaces import ConfigurationError, Problem
from fulmen_profilers._modules import ModuleSpans


class Recording(Protocol):
    """One run, from its beginning to `close`."""

    records: bool
    """Whether spans are of use now."""
    batches: int
    """Batches that have ended."""

    def watch(self, module: nn.Module) -> None:
        """Let the module's parts be spans."""
        ...

    def step(self) -> None:
        """Mark the end of a batch."""
        ...

    def close(self) -> None:
        """End it. A second call does nothing."""
        ...


class TorchRecording:
    """Records with `torch.profiler` when its schedule says so. The module is left alone in between."""

    def __init__(self, settings: Mapping[str, Any], recorded: Callable[[profile], None]) -> None:
        plan = {"schedule": schedule(wait=1, warmup=1, active=3, repeat=1), **settings, "on_trace_ready": recorded}
        self._profile = profile(**plan)
        self._stack = ExitStack()
        self._stack.enter_context(self._profile)
        self._modules: ModuleSpans | None = None
        self.records = False
        self.batches = 0
        self._follow()

    def watch(self, module: nn.Module) -> None:
        self._modules = ModuleSpans(module)
        self._follow()

    def step(self) -> None:
        self._profile.step()
        self.batches += 1
        self._follow()

    def close(self) -> None:
        if self._modules is not None:
            self._modules.close()
        self.records = False
        self._stack.close()

    def _follow(self) -> None:
        """Let module hooks come and go with the schedule."""
        self.records = self._profile.current_action is not ProfilerAction.NONE
        if self._modules is not None:
            if self.records:
                self._modules.open()
            else:
                self._modules.close()


class NvtxRanges:
    """Lets everything be an NVTX range while a profiler outside of the process records."""

    def __init__(self, *, record_shapes: bool) -> None:
        if not torch.cuda.is_available():
            reason = "NVTX ranges need CUDA, which torch does not find here."
            raise ConfigurationError([Problem("emit_nvtx", True, reason, "Leave it out to record with torch instead.")])
        self._stack = ExitStack()
        self._stack.enter_context(torch.cuda.profiler.profile())
        ranges = torch.autograd.profiler.emit_nvtx(record_shapes=record_shapes)  # type: ignore[no-untyped-call]
        self._stack.enter_context(ranges)
        self.records = True
        self.batches = 0

    def watch(self, module: nn.Module) -> None:
        spans = ModuleSpans(module)
        spans.open()
        self._stack.callback(spans.close)

    def step(self) -> None:
        self.batches += 1

    def close(self) -> None:
        self.records = False
        self._stack.close()
