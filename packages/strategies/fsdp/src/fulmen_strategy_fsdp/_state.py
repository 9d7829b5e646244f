"""State as plain files hold it: whole tensors in place of shards, and the other way round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate, distribute_tensor
from torch.optim import Optimizer

from fulmen_distributed import norm_over_ranks, parameters_in_order
from fulmen_interfaces import GradientClipping


def whole_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state with whole tensors in the host's memory. On ranks other than zero they have a shape only.

    All ranks put each tensor together at the same time, one after the other.
    """
    here, made = dist.get_rank() == 0, {}

    def whole(value: Any) -> Any:
        if not isinstance(value, DTensor):
            return value
        if id(value) not in made:  # a tied parameter is one tensor in the file, too
            full = value.full_tensor().detach()
            made[id(value)] = (full.cpu() if here else full.to("meta"), value)
        return made[id(value)][0]

    return cast(dict[str, Any], _mapped(state, whole))


def sharded_state(state: Mapping[str, Any], module: nn.Module) -> dict[str, Any]:
    """Return a module's whole state with shards where the module has shards. Values are those of rank zero."""
    own = module.state_dict()
    return {name: _laid_like(value, own.get(name)) for name, value in state.items()}


def sharded_optimizer_state(state: Mapping[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """Return an optimizer's whole state with shards where its parameters have shards. Values are those of rank zero."""
    parameters = parameters_in_order(optimizer)
    states = {
        number: {key: _laid_beside(value, parameters[number]) for key, value in values.items()}
        for number, values in state["state"].items()
        if number < len(parameters)
    }
    return {**state, "state": states}


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        return {key: _mapped(item, change) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_mapped(item, change) for item in value)
    return change(value)


def _laid_like(value: Any, own: Any) -> Any:
    if isinstance(own, DTensor) and isinstance(value, Tensor) and not isinstance(value, DTensor):
        return distribute_tensor(value.detach(), own.device_mesh, own.placements)
    return value


def _laid_beside(value: Any, parameter: Tensor) -> Any:
    """Lay what belongs to a parameter as it lies; what has another shape (but numbers) lies whole on every rank."""
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor) or value.ndim == 0:
        return value
    if value.shape == parameter.shape:
        return _laid_like(value, parameter)
    mesh = parameter.device_mesh
    return distribute_tensor(value.detach(), mesh, [Replicate()] * mesh.ndim)


def clip_norm(optimizer: Optimizer, clipping: GradientClipping) -> Tensor:
    """Bound the norm of an optimizer's gradients, taken over all ranks, and return it."""
    parameters = parameters_in_order(optimizer)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    total = _total_norm(gradients, clipping.norm_type)
    for local in map(_local, gradients):
        local.mul_((clipping.limit / (total + 1e-6)).clamp(max=1.0).to(local))
    return total


def _total_norm(gradients: list[Tensor], norm_type: float) -> Tensor:
    alike: dict[Any, list[Tensor]] = {}
    for gradient in gradients:
        layout = (gradient.device_mesh, gradient.placements) if isinstance(gradient, DTensor) else None
        alike.setdefault(layout, []).append(gradient)
    norms = [_norm_of(group, norm_type) for group in alike.values()]
    if not norms:
        return torch.tensor(0.0)
    return norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms), norm_type)


def _norm_of(gradients: list[Tensor], norm_type: float) -> Tensor:
    """Return the norm of gradients that lie alike."""
    first, groups = gradients[0], []
    if isinstance(first, DTensor):
        mesh = first.device_mesh
        groups = [mesh.get_group(number) for number, placement in enumerate(first.placements) if placement.is_shard()]
    return norm_over_ranks([_local(one) for one in gradients], norm_type, groups, like=_local(first))


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
