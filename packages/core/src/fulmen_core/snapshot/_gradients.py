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


def are_reduced(prepared: PreparedModel, module: nn.Module) -> bool:
    """Return whether what `parts_of` returns are parts of the mean over all processes, and not its own gradients."""
    if isinstance(prepared, KeepsOwnGradients):
        return prepared.gradients_are_reduced
    trained = [one for one in module.parameters() if one.requires_grad]
    return bool(trained) and all(map(_is_in_a_row, trained))


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
    own = None if reduced or are_reduced(prepared, module) else rank
    whole = WholeGradients(ranks, reduced=reduced, own=own)
    try:
        if isinstance(prepared, KeepsOwnGradients):
            prepared.load_gradients(whole)
        elif own is None:
            _set(module, whole)
        else:
            _set(module, whole, as_parts=True)
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
        "had: they are not in it, or they are parts that fit the same strategy in as many processes only. Save right "
        "after a step, when no window is open."
    )


def _set(module: nn.Module, gradients: Mapping[str, Tensor], *, as_parts: bool = False) -> None:
    """Set whole gradients; or, of parameters that are DTensors, such parts as this process has of them."""
    parameters = dict(module.named_parameters())
    found: dict[str, Tensor] = {}
    for name in gradients:
        parameter, gradient = parameters.get(name), gradients[name]
        if parameter is None or (_local(parameter) if as_parts else parameter).numel() != gradient.numel():
            raise ValueError(f"the gradient of {name} is of another parameter")
        found[name] = _like(parameter, gradient.to(parameter.device, parameter.dtype), as_part=as_parts)
    for name, gradient in found.items():
        parameters[name].grad = gradient


def _like(parameter: Any, gradient: Tensor, *, as_part: bool) -> Tensor:
    if not _is_dtensor(parameter):
        return gradient.reshape(parameter.shape)
    from torch.distributed.tensor import DTensor, Replicate

    mesh, placements, shape = parameter.device_mesh, parameter.placements, parameter.shape
    if not as_part:
        whole = DTensor.from_local(gradient.reshape(shape), mesh, [Replicate()] * mesh.ndim)
        part = whole.redistribute(mesh, placements)
        return part.to(parameter.device)  # the mesh's device need not be where parts are kept
    local = gradient.reshape(_local(parameter).shape)
    return DTensor.from_local(local, mesh, placements, shape=shape, stride=parameter.stride())


def _local(tensor: Any) -> Tensor:
    local: Tensor = tensor.to_local() if _is_dtensor(tensor) else tensor
    return local


def _is_in_a_row(tensor: Any) -> bool:
    """Return whether the parts of a DTensor, flat and in the order of ranks, are the whole."""
    return _is_dtensor(tensor) and tensor.device_mesh.ndim == 1 and tensor.placements[0].is_shard(0)


def _is_dtensor(tensor: Any) -> bool:
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)
