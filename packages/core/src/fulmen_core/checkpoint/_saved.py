"""What a checkpoint directory holds, read when it is asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fulmen_core.checkpoint._layout import (
    GRADIENTS,
    MODEL,
    OPTIMIZERS,
    RANKS,
    STATE,
    gradients_entry,
    optimizer_entry,
)
from fulmen_interfaces import SavedState

if TYPE_CHECKING:
    from fulmen_core.checkpoint._tensors import StoredTensors


class StoredState(SavedState, MutableMapping[str, Any]):
    """Values by name. It may be altered as a dict, which leaves the files as they are."""

    def __init__(self, stored: StoredTensors, prefix: str, plain: Mapping[str, Any]) -> None:
        self._stored = stored
        self._given = dict(plain)
        """Values that need not be read: those that are no tensors, and those that were put in."""
        self._places = {
            name.removeprefix(prefix): name for name in stored.outlines if name.startswith(prefix) and name != prefix
        }
        """Under what name each tensor is stored."""

    def __iter__(self) -> Iterator[str]:
        yield from self._places
        yield from self._given

    def __len__(self) -> int:
        return len(self._places) + len(self._given)

    def __contains__(self, name: object) -> bool:
        return name in self._places or name in self._given

    def __getitem__(self, name: str) -> Any:
        if name in self._given:
            return self._given[name]
        target = self._empty(name)
        self.read({name: target})
        return target

    def __setitem__(self, name: str, value: Any) -> None:
        self._places.pop(name, None)
        self._given[name] = value

    def __delitem__(self, name: str) -> None:
        if self._places.pop(name, None) is None:
            del self._given[name]

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as a plain dict of everything."""
        return OrderedDict, (), None, None, iter(self.whole().items())

    def outline(self, name: str) -> Tensor | None:
        """Return a tensor's shape and type, as a tensor on the meta device; None for what is no tensor."""
        if name in self._given:
            value = self._given[name]
            return value.detach().to("meta") if isinstance(value, Tensor) else None
        return self._stored.outlines[self._places[name]]

    def read(self, into: Mapping[str, Tensor]) -> None:
        """Fill tensors, whole ones or DTensors, with what was saved under their names."""
        stored = {self._places[name]: target for name, target in into.items() if name not in self._given}
        self._stored.read(stored)
        for name, target in into.items():
            if name in self._given:
                _fill(target, self._given[name])

    def whole(self) -> dict[str, Any]:
        """Return everything, read at once."""
        tensors = {name: self._empty(name) for name in self._places}
        self.read(tensors)
        return {**tensors, **self._given}

    def _empty(self, name: str) -> Tensor:
        outline = self._stored.outlines[self._places[name]]
        return torch.empty(outline.shape, dtype=outline.dtype)


@dataclass(frozen=True)
class StoredOptimizer:
    """An optimizer's state; parameters go by name."""

    param_groups: Sequence[Mapping[str, Any]]
    state: StoredState
    others: Mapping[str, Any]

    def whole(self) -> dict[str, Any]:
        """Return what the optimizer's `state_dict` was, with its numbers for parameters, read at once."""
        names = [name for group in self.param_groups for name in group["params"]]
        numbers = {name: number for number, name in enumerate(names)}
        states: dict[int, dict[str, Any]] = {}
        for entry, value in self.state.whole().items():
            parameter, _, key = entry.rpartition(".")
            states.setdefault(numbers[parameter], {})[key] = value
        groups = [{**group, "params": [numbers[name] for name in group["params"]]} for group in self.param_groups]
        return {**self.others, "state": dict(sorted(states.items())), "param_groups": groups}


def stored_model(stored: StoredTensors, plain: Mapping[str, Any]) -> StoredState:
    """Return the module's state."""
    return StoredState(stored, f"{MODEL}.", plain.get(MODEL, {}))


def stored_optimizers(stored: StoredTensors, plain: Mapping[str, Any]) -> list[StoredOptimizer]:
    """Return the states of all optimizers."""
    return [
        StoredOptimizer(
            param_groups=one["param_groups"],
            state=StoredState(stored, f"{optimizer_entry(number)}.{STATE}.", one[STATE]),
            others=one["others"],
        )
        for number, one in enumerate(plain[OPTIMIZERS])
    ]


def with_stored_gradients(run: Mapping[str, Any], stored: StoredTensors) -> dict[str, Any]:
    """Return a run's own state with the gradients of each rank that has some."""
    states = [StoredState(stored, f"{gradients_entry(rank)}.", {}) for rank in range(len(run[RANKS]))]
    ranks = [{**one, GRADIENTS: state} if state else one for one, state in zip(run[RANKS], states, strict=True)]
    return {**run, RANKS: ranks}


def _fill(target: Tensor, value: Tensor) -> None:
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(target, DTensor):
        whole = value.to(target.device, target.dtype)
        value = distribute_tensor(whole, target.device_mesh, target.placements, src_data_rank=None)
    target.detach().copy_(value)
