"""The state of modules and optimizers by name, for checkpoints of which every rank writes a part.

What these functions do fits every strategy whose module keeps its parameters under their names, whole or as DTensors,
and whose optimizers are torch's over these very parameters. For others they are the pieces to build from.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fulmen_interfaces import ConfigurationError, Problem, SavedOptimizer, SavedState, StateDictType

Names = Mapping[nn.Parameter, str]
"""Parameters' names in the user's module."""


def state_dict_type_of(word: str | StateDictType) -> StateDictType:
    """Return what a strategy's argument `state_dict_type` stands for. Raises ConfigurationError."""
    try:
        return StateDictType(word)
    except ValueError as error:
        reason = "Checkpoints are full (one file) or sharded (a directory into which each process writes)."
        raise ConfigurationError([Problem("state_dict_type", word, reason, 'Write "full" or "sharded".')]) from error


def parameter_names(module: nn.Module) -> dict[nn.Parameter, str]:
    """Return the names of a module's parameters; of a tied one, the first."""
    return {parameter: name for name, parameter in module.named_parameters()}


def load_module(module: nn.Module, saved: SavedState, *, strict: bool = True) -> None:
    """Load a module's state; of DTensors, this rank's part. RuntimeError where names or shapes do not fit."""
    own = {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    module.load_state_dict(read_like(saved, own.get), strict=strict)


def named_optimizer_state(optimizer: Optimizer, names: Names, state: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return an optimizer's state with names in place of numbers.

    `state`, in the layout of its `state_dict`, is translated instead where it is given. A parameter without a name is
    called by its place in the optimizer.
    """
    given = optimizer.state_dict() if state is None else state
    ordered = [name for group in group_names(optimizer, names) for name in group]
    groups = [{**group, "params": [ordered[number] for number in group["params"]]} for group in given["param_groups"]]
    states = {ordered[number]: values for number, values in given["state"].items() if values is not None}
    return {**given, "state": states, "param_groups": groups}


def load_optimizer(optimizer: Optimizer, saved: SavedOptimizer, names: Names) -> None:
    """Load an optimizer's state; of DTensors, this rank's part. ValueError where the groups differ."""
    optimizer.load_state_dict(read_optimizer(optimizer, saved, names))


def read_optimizer(
    optimizer: Optimizer, saved: SavedOptimizer, names: Names, *, wanted: Callable[[str], bool] | None = None
) -> dict[str, Any]:
    """Return a saved state in the layout of the optimizer's own `state_dict`, with numbers in place of names.

    Tensors come as the parameters are: as DTensors of which this rank's part is read, or whole in the host's memory.
    Where `wanted` is given, states of parameters whose name it refuses are left out. Raises ValueError where the groups
    are not made of the same parameters.
    """
    ours = group_names(optimizer, names)
    _check_groups(ours, [list(group["params"]) for group in saved.param_groups])
    flat = [name for group in ours for name in group]
    numbers = {name: number for number, name in enumerate(flat)}
    parameters: dict[str, Tensor] = dict(zip(flat, parameters_in_order(optimizer), strict=True))
    states: dict[int, dict[str, Any]] = {}
    values = read_like(
        saved.state,
        lambda entry: parameters.get(_owner(entry)),
        wanted=None if wanted is None else lambda entry: wanted(_owner(entry)),
    )
    for entry, value in values.items():
        states.setdefault(numbers[_owner(entry)], {})[entry.rpartition(".")[2]] = value
    groups = [
        {**group, "params": [numbers[name] for name in mine]}
        for group, mine in zip(saved.param_groups, ours, strict=True)
    ]
    return {**saved.others, "state": states, "param_groups": groups}


def read_like(
    saved: SavedState, like: Callable[[str], Tensor | None], *, wanted: Callable[[str], bool] | None = None
) -> dict[str, Any]:
    """Return what was saved; where `like` gives a DTensor for a name, its value is a DTensor that lies likewise.

    All other tensors are whole, in the host's memory. Names that `wanted` refuses are left out.
    """
    values: dict[str, Any] = {}
    tensors: dict[str, Tensor] = {}
    for name in saved:
        if wanted is not None and not wanted(name):
            continue
        outline = saved.outline(name)
        if outline is None:
            values[name] = saved[name]
        else:
            tensors[name] = _target(outline, like(name))
    saved.read(tensors)
    return values | {name: _beside(value, like(name)) for name, value in tensors.items()}


def group_names(optimizer: Optimizer, names: Names) -> list[list[str]]:
    """Return the names of each group's parameters, in the optimizer's order."""
    return [
        [names.get(one, f"group {number}, parameter {place}") for place, one in enumerate(group["params"])]
        for number, group in enumerate(optimizer.param_groups)
    ]


def parameters_in_order(optimizer: Optimizer) -> list[nn.Parameter]:
    """Return all parameters that an optimizer steps, in the order in which its `state_dict` numbers them."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _owner(entry: str) -> str:
    return entry.rpartition(".")[0]


def _check_groups(ours: Sequence[Sequence[str]], saved: Sequence[Sequence[str]]) -> None:
    if len(ours) != len(saved):
        raise ValueError(f"it has {len(ours)} groups of parameters, but {len(saved)} were saved")
    for number, (mine, theirs) in enumerate(zip(ours, saved, strict=True)):
        odd = sorted(set(mine) ^ set(theirs))
        if odd:
            shown = ", ".join(odd[:5]) + (" and others" if len(odd) > 5 else "")
            raise ValueError(f"its group {number} has other parameters than were saved: {shown} are in one only")


def _target(outline: Tensor, like: Tensor | None) -> Tensor:
    """Return memory for a tensor: a part, where it is laid out as one of which there are parts."""
    if like is not None and _is_dtensor(like) and like.shape == outline.shape:
        return torch.empty_like(like.detach(), dtype=outline.dtype)
    return torch.empty(outline.shape, dtype=outline.dtype)


def _beside(value: Tensor, like: Tensor | None) -> Tensor:
    """Return the value as it can be computed with beside a DTensor: numbers stay, other tensors lie on every rank."""
    if like is None or not _is_dtensor(like) or _is_dtensor(value) or value.ndim == 0:
        return value
    from torch.distributed.tensor import DTensor, Replicate  # what is not needed for whole tensors is not imported

    mesh = like.device_mesh  # type: ignore[attr-defined]
    return DTensor.from_local(value.to(like.device), mesh, [Replicate()] * mesh.ndim, run_check=False)


def _is_dtensor(tensor: Tensor) -> bool:
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)
