"""Which modules of a model are meant by a policy."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial

from torch import nn

from fulmen_strategy_fsdp._settings import ModulePolicy

_NO_FORWARD = (nn.ModuleList, nn.ModuleDict)
_READ_FROM_OUTSIDE = nn.MultiheadAttention
"""It reads the weights of its parts without calling them, so they cannot be gathered on their own."""


def chosen_modules(module: nn.Module, policy: ModulePolicy) -> list[nn.Module]:
    """Return the parts of `module` that the policy means, the inner ones first. `module` itself is none of them."""
    if isinstance(policy, int):
        return _by_size(module, partial(_is_large, policy))
    if isinstance(policy, type) or not callable(policy):
        kinds = (policy,) if isinstance(policy, type) else tuple(policy)
        return [one for one in _inner_first(module) if isinstance(one, kinds)]
    if _asks_for_size(policy):
        return _by_size(module, policy)
    return [one for one in _inner_first(module) if policy(one)]


def shardable_blocks(module: nn.Module, policy: ModulePolicy) -> list[nn.Module]:
    """Return the parts that can be gathered on their own, the inner ones first.

    One of whose parameters are used elsewhere, too, such as tied ones, cannot: they are gathered with the whole.
    """
    owners: dict[nn.Parameter, set[nn.Module]] = {}
    for owner in module.modules():
        for parameter in owner.parameters(recurse=False):
            owners.setdefault(parameter, set()).add(owner)
    shared = {parameter: found for parameter, found in owners.items() if len(found) > 1}
    return [one for one in chosen_modules(module, policy) if _stands_alone(one, shared)]


def _stands_alone(module: nn.Module, shared: dict[nn.Parameter, set[nn.Module]]) -> bool:
    parameters, inside = set(module.parameters()), set(module.modules())
    return bool(parameters) and all(found <= inside for parameter, found in shared.items() if parameter in parameters)


def _inner_first(module: nn.Module) -> Iterator[nn.Module]:
    seen: set[nn.Module] = {module}

    def parts(parent: nn.Module) -> Iterator[nn.Module]:
        for child in parent.children():
            if child in seen:
                continue
            seen.add(child)
            if not isinstance(child, _READ_FROM_OUTSIDE):
                yield from parts(child)
            if not isinstance(child, _NO_FORWARD):
                yield child

    yield from parts(module)


def _asks_for_size(policy: Callable[..., bool]) -> bool:
    """Return whether a function is called as torch's own policies are: for size_based_auto_wrap_policy and others."""
    try:
        inspect.signature(policy).bind(module=None, recurse=True, nonwrapped_numel=0)
    except TypeError:
        return False
    return True


def _is_large(least: int, *, module: nn.Module, recurse: bool, nonwrapped_numel: int) -> bool:
    return nonwrapped_numel >= least


def _by_size(module: nn.Module, policy: Callable[..., bool]) -> list[nn.Module]:
    """Ask a policy that counts the parameters not yet in a block: whether to look inside, then whether to take."""
    found: list[nn.Module] = []
    seen: set[nn.Module] = set()

    def taken(one: nn.Module) -> int:
        """Return how many of the module's parameters are in blocks now."""
        seen.add(one)
        count = sum(parameter.numel() for parameter in one.parameters())
        if not policy(module=one, recurse=True, nonwrapped_numel=count):
            return 0
        inner = [] if isinstance(one, _READ_FROM_OUTSIDE) else [each for each in one.children() if each not in seen]
        inside = sum(taken(child) for child in inner)
        block = one is not module and not isinstance(one, _NO_FORWARD)
        if block and policy(module=one, recurse=False, nonwrapped_numel=count - inside):
            found.append(one)
            return count
        return inside

    taken(module)
    return found
