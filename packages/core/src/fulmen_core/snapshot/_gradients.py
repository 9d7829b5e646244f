"""Gradients that a checkpoint holds: those of an accumulation window that is open, or where users clear them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from fulmen_interfaces import KeepsOwnGradients, PreparedModel, rank_zero_warn


def parts_of(prepared: PreparedModel, module: nn.Module) -> dict[str, Tensor]:
    """Return what this process has of the gradients, by name."""
    if isinstance(prepared, KeepsOwnGradients):
        return prepared.gradient_parts()
    return {name: _local(one.grad) for name, one in module.named_parameters() if one.grad is not None}


def are_reduced(prepared: PreparedModel) -> bool:
    """Return whether what `parts_of` returned are parts of the mean over all processes, and not its own gradients."""
    return isinstance(prepared, KeepsOwnGradients) and prepared.gradients_are_reduced


def put_back(
    prepared: PreparedModel,
    module: nn.Module,
    ranks: Sequence[Mapping[str, Tensor]],
    *,
    reduced: bool,
    rank: int | None,
) -> bool:
    """Give a model the gradients that `parts_of` returned in all processes; return whether there were any that fit.

    `rank` is this process' place among those that wrote them; None where their number was another.
    """
    if not any(ranks):
        return False
    own = None if reduced or are_reduced(prepared) else rank
    whole = WholeGradients(ranks, reduced=reduced, own=own)
    try:
        if isinstance(prepared, KeepsOwnGradients):
            prepared.load_gradients(whole)
        elif not any(map(_is_dtensor, module.parameters())):
            _set(module, whole)
        elif own is not None:
            _set_shards(module, ranks[own])
        else:
            return False
    except ValueError:
        return False
    return True


@final
class WholeGradients(Mapping[str, Tensor]):
    """Gradients by name, put together when they are asked for. ValueError where they do not fit together.

    Each process adds up gradients of its own batches, which become their mean when the window closes. So whatever the
    number of processes is, the mean is what each of them can begin with. What `own` had is taken as it was.
    """

    def __init__(self, ranks: Sequence[Mapping[str, Tensor]], *, reduced: bool, own: int | None) -> None:
        self._ranks, self._reduced, self._own = ranks, reduced, own
        self._names = dict.fromkeys(name for parts in (ranks if own is None else [ranks[own]]) for name in parts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: str) -> Tensor:
        if self._own is not None:
            return self._ranks[self._own][name]
        parts = [one[name] for one in self._ranks if name in one]
        if self._reduced:
            return torch.cat([part.reshape(-1) for part in parts])
        if len({part.shape for part in parts}) > 1:
            raise ValueError(f"the gradient of {name} is not whole")
        return torch.stack(parts).sum(0) / len(self._ranks)


def warn_of_lost_window() -> None:
    """Say that an accumulation window goes on without the gradients that it had."""
    rank_zero_warn(
        "The accumulation window that was open when the checkpoint was written goes on without the gradients that it "
        "had: they are not in it, or they are parts of sharded tensors, which fit the same strategy in as many "
        "processes only. Save right after a step, when no window is open."
    )


def _set(module: nn.Module, whole: Mapping[str, Tensor]) -> None:
    parameters = dict(module.named_parameters())
    found: dict[str, Tensor] = {}
    for name in whole:
        parameter, gradient = parameters.get(name), whole[name]
        if parameter is None or parameter.numel() != gradient.numel():
            raise ValueError(f"the gradient of {name} is of another parameter")
        found[name] = gradient.reshape(parameter.shape).to(parameter.device, parameter.dtype)
    for name, gradient in found.items():
        parameters[name].grad = gradient


def _set_shards(module: nn.Module, parts: Mapping[str, Tensor]) -> None:
    """Set gradients of parameters that are DTensors, from parts as this process has them of the parameters."""
    from torch.distributed.tensor import DTensor

    parameters: dict[str, Any] = dict(module.named_parameters())
    if any(name not in parameters or _local(parameters[name]).shape != part.shape for name, part in parts.items()):
        raise ValueError("the gradients are of other parts")
    for name, part in parts.items():
        parameter, part = parameters[name], part.to(parameters[name].device)
        if _is_dtensor(parameter):
            part = DTensor.from_local(
                part, parameter.device_mesh, parameter.placements, shape=parameter.shape, stride=parameter.stride()
            )
        parameter.grad = part


def _local(tensor: Any) -> Tensor:
    local: Tensor = tensor.to_local() if _is_dtensor(tensor) else tensor
    return local


def _is_dtensor(tensor: Any) -> bool:
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)
