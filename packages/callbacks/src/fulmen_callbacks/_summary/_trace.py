"""One forward pass, looked at from the side: sizes and floating point operations of every layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

Size = Any
"""A list of numbers, or such lists nested as the tensors are; None where it is unknown."""


@dataclass
class LayerTrace:
    """What one layer received and returned in its first call, and the operations of all its calls."""

    in_size: Size = None
    out_size: Size = None
    flops: int = 0


def trace_layers(module: nn.Module, example_input: Any, names: Mapping[str, nn.Module]) -> dict[str, LayerTrace]:
    """Run `forward` once, without gradients and in evaluation mode, and return what the named layers did.

    Training flags and random states are afterwards as they were before. What `forward` raises is passed on.
    """
    traces = {name: LayerTrace() for name in names}
    counter = FlopCounterMode(display=False)
    with ExitStack() as stack:
        stack.enter_context(_evaluating(module))
        stack.enter_context(_random_state_of(module))
        stack.enter_context(torch.no_grad())
        stack.enter_context(_slow_attention())
        for name, layer in names.items():
            if not isinstance(layer, torch.jit.ScriptModule):  # it takes no hooks
                stack.enter_context(_hooked(layer, traces[name], counter))
        stack.enter_context(counter)
        args, kwargs = _arguments(_placed(example_input, module))
        module(*args, **kwargs)
    return traces


@contextmanager
def _hooked(layer: nn.Module, trace: LayerTrace, counter: FlopCounterMode) -> Iterator[None]:
    before: list[int] = []

    def enter(_: nn.Module, args: Any, kwargs: Any) -> None:
        before.append(counter.get_total_flops())
        if trace.in_size is None:
            inputs = [*args, *kwargs.values()]
            trace.in_size = size_of(inputs[0] if len(inputs) == 1 else inputs)

    def leave(_: nn.Module, args: Any, output: Any) -> None:
        trace.flops += counter.get_total_flops() - before.pop()
        if trace.out_size is None:
            trace.out_size = size_of(output)

    handles = [layer.register_forward_pre_hook(enter, with_kwargs=True), layer.register_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    modes = {layer: layer.training for layer in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for layer, training in modes.items():
            layer.training = training


@contextmanager
def _slow_attention() -> Iterator[None]:
    """Keep transformer layers from taking the fused path of evaluation, whose operations are not counted."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def _random_state_of(module: nn.Module) -> Iterator[None]:
    device = _device_of(module)
    if device.type in ("cpu", "meta"):
        with torch.random.fork_rng(devices=[]):
            yield
    else:
        with torch.random.fork_rng(devices=[device], device_type=device.type):
            yield


def _placed(value: Any, module: nn.Module) -> Any:
    """Return the input on the module's device, floating point numbers in the type of its weights."""
    if isinstance(value, Tensor):
        dtype = next((one.dtype for one in module.parameters() if one.is_floating_point()), value.dtype)
        return value.to(_device_of(module), dtype if value.is_floating_point() else value.dtype)
    if isinstance(value, Mapping):
        return {name: _placed(item, module) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_placed(item, module) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def _device_of(module: nn.Module) -> torch.device:
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))


def _arguments(example_input: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example_input, dict):
        return (), example_input
    return (example_input if isinstance(example_input, tuple) else (example_input,)), {}


def size_of(value: Any) -> Size:
    """Return the sizes of what a layer takes or gives."""
    if isinstance(value, Tensor):
        return list(value.shape)
    if isinstance(value, Mapping):
        return [size_of(item) for item in value.values()]
    if isinstance(value, (list, tuple)):
        return [size_of(item) for item in value]
    return None
