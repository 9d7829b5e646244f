"""The parameters that are pruned, and how."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from fulmen_callbacks._problems import refuse
from fulmen_interfaces import Collectives, ConfigurationError, Problem, did_you_mean

Target = tuple[nn.Module, str]
"""A layer and the name of one of its parameters."""

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_METHODS: Mapping[str, type[prune.BasePruningMethod]] = {
    "l1_unstructured": prune.L1Unstructured,
    "random_unstructured": prune.RandomUnstructured,
    "ln_structured": prune.LnStructured,
    "random_structured": prune.RandomStructured,
}


@dataclass(frozen=True)
class PruningMethod:
    """A method of `torch.nn.utils.prune` with its settings."""

    method: type[prune.BasePruningMethod]
    everywhere: bool
    """Whether the smallest weights of all layers together go, rather than those of each layer."""
    settings: Mapping[str, Any]
    takes_amount: bool
    """Whether it is told how much to prune; a method of the user's own may know."""

    @classmethod
    def of(
        cls, wanted: str | type[prune.BasePruningMethod], *, everywhere: bool, dim: int | None, norm: float | None
    ) -> PruningMethod:
        """Check what the user gave. Raises ConfigurationError."""
        method = _METHODS.get(wanted) if isinstance(wanted, str) else wanted
        if method is None or not (isinstance(method, type) and issubclass(method, prune.BasePruningMethod)):
            hint = did_you_mean(str(wanted), _METHODS)
            remedy = f"{hint} Give one of {', '.join(map(repr, _METHODS))}, or a BasePruningMethod.".strip()
            raise ConfigurationError([Problem("pruning_fn", wanted, "There is no such method of pruning.", remedy)])
        settings: dict[str, float | None] = {}
        if method in (prune.LnStructured, prune.RandomStructured):
            settings["dim"] = dim
        if method is prune.LnStructured:
            settings["n"] = norm
        refuse(_problems(wanted, method, everywhere=everywhere, settings=settings))
        return cls(method, everywhere, settings, takes_amount="amount" in signature(method).parameters)

    def apply(self, targets: Sequence[Target], amount: float) -> None:
        """Prune a share (float) or a number (int) of what is left."""
        settings = {"amount": amount, **self.settings} if self.takes_amount else self.settings
        if self.everywhere:
            prune.global_unstructured(list(targets), self.method, **settings)
            return
        for layer, name in targets:
            self.method.apply(layer, name, **settings)  # type: ignore[no-untyped-call]


def _problems(
    wanted: object, method: type[prune.BasePruningMethod], *, everywhere: bool, settings: Mapping[str, Any]
) -> list[Problem | None]:
    structured = getattr(method, "PRUNING_TYPE", None) != "unstructured"
    missing = [f"pruning_{'norm' if name == 'n' else name}" for name, value in settings.items() if value is None]
    return [
        Problem(
            "use_global_unstructured",
            True,
            f"{wanted!r} removes whole rows, which cannot be compared between layers.",
            "Pass use_global_unstructured=False.",
        )
        if structured and everywhere
        else None,
        *(Problem(name, None, f"{wanted!r} needs it.", f"Pass `{name}`.") for name in missing),
    ]


def find_targets(module: nn.Module, names: Sequence[str]) -> list[Target]:
    """Return all parameters of these names in layers that are no mere containers."""
    layers = [layer for layer in module.modules() if layer is not module and not isinstance(layer, _CONTAINERS)]
    return [
        (layer, name) for name in names for layer in layers if isinstance(layer._parameters.get(name), nn.Parameter)
    ]


def check_targets(targets: Sequence[Target], module: nn.Module) -> None:
    """Refuse targets that are no parameters of the module."""
    layers = {id(layer) for layer in module.modules()}
    for layer, name in targets:
        if id(layer) not in layers or not isinstance(layer._parameters.get(name), nn.Parameter):
            reason = f"{type(layer).__name__} has no parameter {name!r}, or is no layer of {type(module).__name__}."
            remedy = "Give pairs of a layer and a parameter's name."
            refuse([Problem("parameters_to_prune", (layer, name), reason, remedy)])
    if not targets:
        reason = "No layer has a parameter of these names."
        refuse([Problem("parameter_names", None, reason, "Give `parameters_to_prune`, or other `parameter_names`.")])


def sparsity(layer: nn.Module, name: str) -> tuple[int, int]:
    """Return how many numbers of a parameter are pruned, and how many there are."""
    mask: Tensor | None = layer._buffers.get(f"{name}_mask")
    if mask is None:
        return 0, getattr(layer, name).numel()
    return int((mask == 0).sum()), mask.numel()


def parts_of(layer: nn.Module, name: str) -> tuple[Tensor, Tensor]:
    """Return the weights of a pruned parameter and its mask."""
    return layer.get_parameter(f"{name}_orig"), layer.get_buffer(f"{name}_mask")


@torch.no_grad()
def take_from_rank_zero(targets: Sequence[Target], collectives: Collectives) -> None:
    """Make weights and masks of pruned parameters those of rank zero, for methods may be random."""
    for layer, name in targets:
        stored, mask = parts_of(layer, name)
        for tensor in (stored, mask):
            tensor.copy_(collectives.broadcast(tensor.detach().cpu()))
        setattr(layer, name, stored * mask)


@torch.no_grad()
def rewind(targets: Sequence[Target], initial: Sequence[Tensor], fresh: Sequence[nn.Module] | None) -> None:
    """Set what is left of the parameters back to their first values, or to new ones of freshly initialised layers."""
    for position, (layer, name) in enumerate(targets):
        value = initial[position]
        if fresh is not None:
            reset: Callable[[], None] | None = getattr(fresh[position], "reset_parameters", None)
            if reset is not None:
                reset()
                value = fresh[position]._parameters[name]  # type: ignore[assignment]
        stored, mask = parts_of(layer, name)
        stored.copy_(value)
        setattr(layer, name, stored * mask)  # as the layer would with its next input


def copies_of(targets: Sequence[Target]) -> list[nn.Module]:
    """Return a copy of each target's layer."""
    return [copy.deepcopy(layer) for layer, _ in targets]
