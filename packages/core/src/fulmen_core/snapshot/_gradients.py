"""Gradients that a checkpoint holds: those of an accumulation window that is open, or where users clear them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fulmen_interfaces import rank_zero_warn


def parts_of(module: nn.Module) -> dict[str, Tensor]:
    """Return what this process has of the gradients, by name."""
    return {name: _local(one.grad) for name, one in module.named_parameters() if one.grad is not None}


def put_back(module: nn.Module, parts: Mapping[str, Tensor]) -> None:
    """Give parameters back what `parts_of` returned in as many processes."""
    parameters = dict(module.named_parameters())
    for name, part in parts.items():
        parameters[name].grad = _like(parameters[name], part)


def put_mean(module: nn.Module, ranks: Sequence[Mapping[str, Tensor]]) -> bool:
    """Give parameters the mean of what other processes had; return whether there was any, and all of it whole.

    Each process adds up gradients of its own batches, which become their mean when the window closes. So whatever their
    number is, the mean is what each of them can begin with.
    """
    parameters = {name: one for name, one in module.named_parameters() if any(name in parts for parts in ranks)}
    means: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        found = [parts[name] for parts in ranks if name in parts]
        if _is_dtensor(parameter) or any(one.shape != parameter.shape for one in found):
            return False
        means[name] = torch.stack(found).sum(0) / len(ranks)
    put_back(module, means)
    return bool(means)


def warn_of_lost_window() -> None:
    """Say that an accumulation window goes on without the gradients that it had."""
    rank_zero_warn(
        "The accumulation window that was open when the checkpoint was written goes on without the gradients that it "
        "had: the strategy keeps them where they cannot be read, or they fit another number of processes only. Save "
        "right after a step, when no window is open."
    )


def _local(gradient: Any) -> Tensor:
    local: Tensor = gradient.to_local() if _is_dtensor(gradient) else gradient
    return local


def _like(parameter: Any, part: Tensor) -> Tensor:
    part = part.to(parameter.device)
    if not _is_dtensor(parameter):
        return part
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        part, parameter.device_mesh, parameter.placements, shape=parameter.shape, stride=parameter.stride()
    )


def _is_dtensor(tensor: Any) -> bool:
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)
