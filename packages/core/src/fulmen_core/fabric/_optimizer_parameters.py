"""Which parameters an optimizer steps, where a strategy puts others in place of those that it was made over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from fulmen_interfaces import ConfigurationError, Problem

LATER = (
    "Call `model = fabric.setup_module(model)`, make the optimizer over `model.parameters()`, and then call "
    "`fabric.setup_optimizers(optimizer)`."
)


def names_by_parameter(module: nn.Module) -> dict[int, str]:
    """Return the names of a module's parameters as they are at this moment, by the parameter's identity."""
    return {id(parameter): name for name, parameter in module.named_parameters(remove_duplicate=False)}


def parameters_by_name(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return a module's parameters as they are at this moment."""
    return dict(module.named_parameters(remove_duplicate=False))


def follow(optimizer: Optimizer, names: Mapping[int, str], parameters: Mapping[str, nn.Parameter]) -> None:
    """Point an optimizer at the parameters that have the names of those that it was made over.

    State that it already has moves along where it fits; ConfigurationError is raised where it does not.
    """
    for group in optimizer.param_groups:
        group["params"] = [_successor(one, names, parameters, optimizer) for one in group["params"]]
    for parameter, state in optimizer.state.items():
        if any(_is_elsewhere(value, parameter) for value in state.values()):
            optimizer.load_state_dict(optimizer.state_dict())  # torch knows which of it belongs on the device
            return


def steps_any(optimizer: Optimizer, parameters: Mapping[int, Any]) -> bool:
    """Return whether it steps any of these parameters, given by identity."""
    return any(id(parameter) in parameters for group in optimizer.param_groups for parameter in group["params"])


def same_objects(one: Sequence[object], other: Sequence[object]) -> bool:
    """Return whether both hold the very same objects."""
    return len(one) == len(other) and all(mine is theirs for mine, theirs in zip(one, other, strict=True))


def _successor(
    parameter: Tensor, names: Mapping[int, str], parameters: Mapping[str, nn.Parameter], optimizer: Optimizer
) -> Tensor:
    new = parameters.get(names.get(id(parameter), ""))
    if new is None or new is parameter:
        return parameter
    state = optimizer.state.pop(parameter, None)
    if state:
        if type(new.data) is not type(parameter.data) or new.shape != parameter.shape:
            reason = "It holds state for whole parameters, but the strategy has put others in their place."
            raise ConfigurationError([Problem("optimizers", type(optimizer).__name__, reason, LATER)])
        optimizer.state[new] = state
    return new


def _is_elsewhere(value: Any, parameter: Tensor) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and value.device != parameter.device
