"""Folding the values of an epoch into one.

Values that lie in host memory arrive as Python numbers and are folded at once, in double precision. Values on a device
are kept there and folded a few dozen at a time, so that logging neither waits for the device nor launches a kernel more
than it must.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from fulmen_interfaces import ReduceOp

Value = float | Tensor

_FOLD_AFTER = 64
"""Device values held back before they are folded."""


class Accumulator(Protocol):
    """One metric's values of one epoch."""

    def add(self, value: Value, weight: float) -> None:
        """Take one value; `weight` counts for means only."""
        ...

    def compute(self) -> Value:
        """Return the reduction of all values since the last `reset`."""
        ...

    def reset(self) -> None:
        """Forget all values."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides what `compute` will return."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        ...


class WeightedSum:
    """The sum of `value × weight`; as a mean, divided by the sum of the weights."""

    __slots__ = ("mean", "pending", "pending_weights", "total", "weight")

    def __init__(self, *, mean: bool) -> None:
        self.mean = mean
        self.reset()

    def reset(self) -> None:
        self.total: Value = 0.0
        self.weight = 0.0
        self.pending: list[Tensor] = []
        self.pending_weights: list[float] = []

    def add(self, value: Value, weight: float) -> None:
        if not self.mean:
            weight = 1.0
        self.weight += weight
        if isinstance(value, Tensor):
            self.pending.append(value)
            self.pending_weights.append(weight)
            if len(self.pending) >= _FOLD_AFTER:
                self._fold()
        else:
            self.total += value * weight

    def compute(self) -> Value:
        self._fold()
        if not self.mean:
            return self.total
        return self.total / self.weight if self.weight else math.nan  # batches of no samples have no mean

    def folded(self) -> Value:
        """Return the weighted total so far."""
        self._fold()
        return self.total

    def replace(self, total: Value, weight: float) -> None:
        """Put the totals of all processes in the place of this one's."""
        self.total, self.weight = total, weight

    def _fold(self) -> None:
        if not self.pending:
            return
        values = torch.stack(self.pending)
        first = self.pending_weights[0]
        if all(weight == first for weight in self.pending_weights):
            self.total = self.total + values.sum() * first
        else:
            self.total = self.total + (values * values.new_tensor(self.pending_weights)).sum()
        self.pending, self.pending_weights = [], []

    def state_dict(self) -> dict[str, Any]:
        return {
            "total": self.total,
            "weight": self.weight,
            "pending": list(self.pending),
            "pending_weights": list(self.pending_weights),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.total, self.weight = state["total"], state["weight"]
        self.pending, self.pending_weights = list(state["pending"]), list(state["pending_weights"])


class Folded:
    """All values reduced by a function of their stack: minimum, maximum, or the user's own."""

    __slots__ = ("associative", "fold", "numbers", "values")

    def __init__(
        self, fold: Callable[[Tensor], Tensor], *, numbers: Callable[[float, float], float] | None = None
    ) -> None:
        self.fold = fold
        self.numbers = numbers
        self.associative = numbers is not None
        self.reset()

    def reset(self) -> None:
        self.values: list[Value] = []

    def add(self, value: Value, weight: float) -> None:
        if self.numbers is not None and self.values and isinstance(value, (float, int)):
            newest = self.values[-1]
            if isinstance(newest, (float, int)):
                self.values[-1] = self.numbers(newest, value)
                return
        self.values.append(value)
        if self.associative and len(self.values) >= _FOLD_AFTER:
            self.values = [self.compute()]

    def compute(self) -> Value:
        device = next((value.device for value in self.values if isinstance(value, Tensor)), None)
        if device is None:
            return self.fold(torch.tensor(self.values, dtype=torch.float64)).item()
        return self.fold(torch.stack([torch.as_tensor(value, device=device) for value in self.values]))

    def state_dict(self) -> dict[str, Any]:
        return {"values": list(self.values)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values = list(state["values"])


def make_accumulator(reduce_fx: str | Callable[..., Any]) -> Accumulator | None:
    """Return the accumulator for a `reduce_fx`, or None where the word is not known."""
    reduce_fx = _common(reduce_fx)
    if reduce_fx in ("mean", torch.mean):
        return WeightedSum(mean=True)
    if reduce_fx in ("sum", torch.sum):
        return WeightedSum(mean=False)
    if reduce_fx in ("min", torch.min, min):
        return Folded(torch.min, numbers=min)
    if reduce_fx in ("max", torch.max, max):
        return Folded(torch.max, numbers=max)
    return None if isinstance(reduce_fx, str) else Folded(reduce_fx)


def reduce_op(reduce_fx: str | Callable[..., Any]) -> ReduceOp:
    """Return how the values of several processes become one; for functions of a user's own, their mean."""
    reduce_fx = _common(reduce_fx)
    if reduce_fx in ("sum", torch.sum):
        return ReduceOp.SUM
    if reduce_fx in ("min", torch.min, min):
        return ReduceOp.MIN
    return ReduceOp.MAX if reduce_fx in ("max", torch.max, max) else ReduceOp.MEAN


def _common(reduce_fx: str | Callable[..., Any]) -> str | Callable[..., Any]:
    """Return a word as it is compared here: users also write "avg", and capital letters."""
    if not isinstance(reduce_fx, str):
        return reduce_fx
    word = reduce_fx.lower()
    return "mean" if word == "avg" else word
