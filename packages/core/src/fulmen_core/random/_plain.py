"""Turning the states of generators into values that any checkpoint can hold, and back."""

from __future__ import annotations

import sys
from typing import Any

import torch

_ARRAY = "ndarray"


def to_plain(value: Any) -> Any:
    """Return `value` with its NumPy arrays and scalars replaced by what `torch.load(weights_only=True)` accepts."""
    if isinstance(value, dict):
        return {name: to_plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(to_plain(item) for item in value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        # The bytes, because torch has only some of NumPy's unsigned types.
        return {_ARRAY: str(value.dtype), "bytes": torch.from_numpy(value.copy().view(numpy.uint8))}
    if numpy is not None and isinstance(value, numpy.generic):
        return value.item()
    return value


def from_plain(value: Any) -> Any:
    """Return what `to_plain` was given."""
    if isinstance(value, dict):
        if _ARRAY in value:
            return value["bytes"].cpu().numpy().view(value[_ARRAY])
        return {name: from_plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(from_plain(item) for item in value)
    return value


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal; unlike `==` for those that hold arrays or tensors."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(one, numpy.ndarray):
        return bool(numpy.array_equal(one, other))
    return bool(one == other)
