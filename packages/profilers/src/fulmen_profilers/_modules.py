"""Spans for the parts of a model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.autograd.profiler import record_function
from torch.utils.hooks import RemovableHandle


class ModuleSpans:
    """Lets each forward pass of a module's parts be a span, named by place and class: `encoder.0: Linear`."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._handles: list[RemovableHandle] = []

    def open(self) -> None:
        """Begin."""
        if self._handles:
            return
        for name, part in self._module.named_modules():
            if not isinstance(part, torch.jit.ScriptModule):
                self._watch(part, f"{name}: {type(part).__name__}" if name else type(part).__name__)

    def close(self) -> None:
        """Leave the module as it was."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _watch(self, part: nn.Module, label: str) -> None:
        running: list[record_function] = []

        def before(*_: Any) -> None:
            span = record_function(label)
            span.__enter__()  # type: ignore[no-untyped-call]
            running.append(span)

        def after(*_: Any) -> None:
            if running:
                running.pop().__exit__(None, None, None)

        self._handles += [
            part.register_forward_pre_hook(before),
            part.register_forward_hook(after, always_call=True),
        ]
