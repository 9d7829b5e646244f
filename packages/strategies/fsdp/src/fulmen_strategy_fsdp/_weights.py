"""The weights that a module begins with: memory for those that have none, and the same ones on every rank."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from fulmen_interfaces import ModuleError

_INITIALISERS = ("reset_parameters", "_reset_parameters")
"""How modules compute initial weights; torch's attention has the second one only."""


def refuse_unfillable(module: nn.Module) -> None:
    """Raise ModuleError where a module holds tensors on the meta device and does not say how they begin."""
    names = [
        f"{name or 'the module itself'} ({type(one).__name__})"
        for name, one in module.named_modules()
        if any(_cannot_begin(one, tensor) for tensor in _own_tensors(one))
    ]
    if names:
        raise ModuleError(
            f"{', '.join(names)} of {type(module).__name__} was made without memory, and nothing says how its weights "
            "and buffers begin. Give it a method `reset_parameters` that sets all of them, or make it outside of "
            "`init_module(empty_init=True)`. Parts that `configure_model` made by itself must have memory."
        )


def fill(module: nn.Module, device: torch.device) -> None:
    """Give tensors that are on the meta device memory and initial values. Tied parameters stay tied."""
    made: dict[int, Tensor] = {}
    filled = [one for one in module.modules() if _give_memory(one, device, made)]
    for one in reversed(filled):  # the outer ones last, for they may set what the inner ones hold
        initialise = _initialiser(one)
        if initialise is not None:
            getattr(one, initialise)()


def same_on_all_ranks(tensors: Iterator[Tensor], device: torch.device) -> None:
    """Bring tensors to the device, with the values of rank zero."""
    alone = dist.get_world_size() == 1
    for tensor in tensors:
        values = tensor.detach().to(device).contiguous()
        if not alone:
            dist.broadcast(values, src=0)
        if values.data_ptr() != tensor.data_ptr():
            tensor.data = values


def _cannot_begin(owner: nn.Module, tensor: Tensor) -> bool:
    return tensor.is_meta and (_initialiser(owner) is None or isinstance(tensor, DTensor))


def _own_tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


def _initialiser(module: nn.Module) -> str | None:
    return next((name for name in _INITIALISERS if callable(getattr(module, name, None))), None)


def _give_memory(module: nn.Module, device: torch.device, made: dict[int, Tensor]) -> bool:
    """Replace a module's own tensors that are on the meta device; return whether there were any."""
    found = False
    named: list[tuple[str, Tensor]] = [*module.named_parameters(recurse=False, remove_duplicate=False)]
    named += module.named_buffers(recurse=False, remove_duplicate=False)
    for name, tensor in named:
        if tensor.is_meta:
            found = True
            if id(tensor) not in made:
                made[id(tensor)] = _with_memory(tensor, device)
            setattr(module, name, made[id(tensor)])
    return found


def _with_memory(tensor: Tensor, device: torch.device) -> Tensor:
    memory = torch.empty_like(tensor, device=device)
    return nn.Parameter(memory, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else memory
