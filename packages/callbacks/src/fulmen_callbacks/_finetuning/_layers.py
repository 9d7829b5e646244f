"""Freezing and unfreezing layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from fulmen_interfaces import rank_zero_warn

Modules: TypeAlias = "nn.Module | Iterable[Modules]"


def flatten(modules: Modules) -> list[nn.Module]:
    """Return the layers that hold parameters themselves or have no layers in them."""
    if isinstance(modules, nn.ModuleDict):
        return flatten(modules.values())
    if isinstance(modules, nn.Module):
        return [layer for layer in modules.modules() if not list(layer.children()) or layer._parameters]
    return [layer for group in modules for layer in flatten(group)]


def parameters_of(modules: Modules, *, train_bn: bool = True, requires_grad: bool = True) -> Iterator[nn.Parameter]:
    """Yield the parameters that are trained, or those that are not; batch norms are left out without `train_bn`."""
    for layer in flatten(modules):
        if isinstance(layer, _BatchNorm) and not train_bn:
            continue
        for parameter in layer.parameters(recurse=False):
            if parameter.requires_grad is requires_grad:
                yield parameter


def make_trainable(modules: Modules) -> None:
    """Let all parameters be trained, and batch norms follow the data."""
    for layer in flatten(modules):
        _set_own(layer, trainable=True)


def freeze(modules: Modules, *, train_bn: bool = True) -> None:
    """Keep all parameters as they are; batch norms are still trained with `train_bn`."""
    for layer in flatten(modules):
        _set_own(layer, trainable=train_bn and isinstance(layer, _BatchNorm))


def not_in_optimizer(optimizer: Optimizer, parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Return the parameters that the optimizer does not hold, and warn of the others."""
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    parameters = list(parameters)
    new = [parameter for parameter in parameters if id(parameter) not in held]
    if len(new) < len(parameters):
        rank_zero_warn(
            f"{len(parameters) - len(new)} parameters that are to be added to {type(optimizer).__name__} are in it "
            "already, and are left where they are. Give the optimizer only parameters with `requires_grad` at first."
        )
    return new


def freeze_own(layer: nn.Module) -> None:
    """Keep the parameters that are the layer's own as they are."""
    _set_own(layer, trainable=False)


def _set_own(layer: nn.Module, *, trainable: bool) -> None:
    if isinstance(layer, _BatchNorm):
        layer.track_running_stats = trainable
    for parameter in layer.parameters(recurse=False):
        parameter.requires_grad = trainable
