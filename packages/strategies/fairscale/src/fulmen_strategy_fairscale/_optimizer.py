"""An optimizer of which every rank steps a part of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from itertools import chain
from typing import Any, final

import torch.distributed as dist
from fairscale.optim.oss import OSS
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grads_with_norm_
from torch.optim import Optimizer

from fulmen_distributed import norm_over_ranks
from fulmen_interfaces import GradientClipping


@final
class ShardedOptimizer(OSS):  # type: ignore[misc]  # FairScale has no types
    """The user's optimizer: it steps this rank's parameters, then all ranks tell each other the new values.

    The user's object stays the one that steps, and both have the same groups, so that what holds it (a scheduler)
    need not know. Its state exists for this rank's parameters only; what is loaded may be whole.
    """

    _partition_parameters: list[list[dict[str, Any]]]

    def __init__(self, optimizer: Optimizer) -> None:
        self._owners: dict[Tensor, int] = {}
        super().__init__(optimizer.param_groups, optim=lambda *_, **__: optimizer)
        self.defaults = optimizer.defaults
        optimizer.param_groups = self.param_groups
        self.state = optimizer.state

    def partition_parameters(self) -> list[list[dict[str, Any]]]:
        """Return each rank's part of the groups. A parameter stays with its rank when others are added or frozen."""
        if not self._partition_parameters:
            sizes = [0] * self.world_size
            for parameter, rank in self._owners.items():
                sizes[rank] += parameter.numel()
            for parameter in self.parameters():
                if parameter not in self._owners:
                    rank = self._owners[parameter] = sizes.index(min(sizes))
                    sizes[rank] += parameter.numel()
            self._partition_parameters = [self._groups_of(rank) for rank in range(self.world_size)]
        return self._partition_parameters

    def parameters(self) -> Iterator[Parameter]:
        """Return all parameters, of every rank, in their order in a state."""
        return chain.from_iterable(group["params"] for group in self.param_groups)

    def own_parameters(self) -> Iterator[Parameter]:
        """Return the parameters that this rank steps."""
        return (parameter for parameter in self.parameters() if self._owners[parameter] == self.rank)

    def step(self, closure: Callable[[], Any] | None = None, **options: Any) -> Any:
        """Step this rank's parameters and receive the others. To be called on every rank."""
        if closure is None:  # a closure adds to them what is reduced afterwards
            self._forget_foreign_gradients()
        return super().step(closure, **options)

    def state_dict(self) -> dict[str, Any]:  # type: ignore[override, unused-ignore]
        """Return a plain optimizer's state, with this rank's parameters only under `state`."""
        return dict(self.optim.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # type: ignore[override, unused-ignore]
        """Load the state of a plain optimizer: of it, this rank's part."""
        keys = chain.from_iterable(group["params"] for group in state["param_groups"])
        foreign = {key for key, one in zip(keys, self.parameters()) if self._owners[one] != self.rank}  # noqa: B905
        part = {key: one for key, one in state["state"].items() if key not in foreign}
        self.optim.load_state_dict({**state, "state": part})
        self.param_groups, self.state = self.optim.param_groups, self.optim.state

    def release(self) -> None:
        """Give every parameter memory of its own again: until then they share one block per rank."""
        for parameter in self.parameters():
            parameter.data = parameter.data.clone()

    def _groups_of(self, rank: int) -> list[dict[str, Any]]:
        groups = [copy(group) for group in self.param_groups]
        for group in groups:
            group["params"] = [one for one in group["params"] if self._owners[one] == rank]
        return groups

    def _forget_foreign_gradients(self) -> None:
        for parameter in self.parameters():
            if self._owners[parameter] != self.rank:
                parameter.grad = None


def clip_norm(optimizer: Optimizer, clipping: GradientClipping) -> Tensor:
    """Bound the norm of the gradients of all ranks' parameters together, and return what it was."""
    shares = _sharded(optimizer)
    own = [one for one in shares.own_parameters() if one.grad is not None]
    gradients = [one.grad for one in own if one.grad is not None]
    norm = norm_over_ranks(gradients, clipping.norm_type, [dist.group.WORLD], like=next(shares.parameters()))
    clip_grads_with_norm_(own, clipping.limit, norm)
    return norm


def whole_state(optimizer: Optimizer) -> dict[str, Any]:
    """Return a plain optimizer's state: whole on rank zero. To be called on every rank."""
    shares, state = _sharded(optimizer), optimizer.state_dict()
    if shares.world_size == 1:
        return state
    parts: list[Any] | None = [None] * shares.world_size if shares.rank == 0 else None
    dist.gather_object({key: _on_host(one) for key, one in state["state"].items()}, parts)
    whole = {key: one for part in parts for key, one in part.items()} if parts else state["state"]
    return {**state, "state": dict(sorted(whole.items()))}


def _sharded(optimizer: Optimizer) -> ShardedOptimizer:
    if isinstance(optimizer, ShardedOptimizer):
        return optimizer
    raise TypeError(f"{type(optimizer).__name__} is none of the optimizers that this strategy returned.")


def _on_host(state: Any) -> Any:
    if isinstance(state, Tensor):
        return state.cpu()
    if isinstance(state, dict):
        return {key: _on_host(value) for key, value in state.items()}
    return state
