"""The graph of a module, as TensorBoard draws it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def write_graph(writer: SummaryWriter, module: nn.Module, example: Any) -> None:
    """Trace `forward` with an example (a tuple for several arguments, a dictionary for named ones) and record it.

    The module is in evaluation mode meanwhile, without gradients. What `forward` raises is passed on.
    """
    names = tuple(example) if isinstance(example, dict) else None
    inputs = tuple(example.values()) if isinstance(example, dict) else example
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    bare: _Bare = type(type(module).__name__, (_Bare,), {})(module, names)  # the root of the graph bears the name
    with _evaluating(module), torch.no_grad(), _random_state_of(device), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TensorBoard knows no newer way than tracing
        writer.add_graph(bare, _placed(inputs, device))


class _Bare(nn.Module):
    """A module's layers and its `forward` alone: tracing reads every attribute, and some exist only during a run."""

    def __init__(self, module: nn.Module, names: tuple[str, ...] | None) -> None:
        super().__init__()
        self._modules, self._parameters, self._buffers = module._modules, module._parameters, module._buffers
        self._whole = (module,)  # not itself, or it would be one of the layers
        self._names = names
        self.training = module.training

    def forward(self, *args: Any) -> Any:
        (module,) = self._whole
        return module(*args) if self._names is None else module(**dict(zip(self._names, args, strict=True)))


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    modes = {layer: layer.training for layer in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for layer, training in modes.items():
            layer.training = training


def _random_state_of(device: torch.device) -> AbstractContextManager[None]:
    if device.type == "cpu":
        return torch.random.fork_rng(devices=[])
    return torch.random.fork_rng(devices=[device], device_type=device.type)


def _placed(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: _placed(item, device) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_placed(item, device) for item in value])
    return value
