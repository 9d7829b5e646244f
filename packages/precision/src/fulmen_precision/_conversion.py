"""The floating-point tensors of a batch, however they are nested, in another type."""

from __future__ import annotations

import copy
from collections import UserDict
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch


def convert_floats(batch: Any, dtype: torch.dtype) -> Any:
    """Return the batch with its floating-point tensors converted; containers are new, of the same type.

    Lists, tuples, named tuples, mappings and dataclasses are looked into, anything else is returned as it is.
    """
    if isinstance(batch, torch.Tensor):
        return batch.to(dtype) if batch.is_floating_point() else batch
    if isinstance(batch, (list, tuple)):
        return _convert_sequence(batch, dtype)
    if isinstance(batch, Mapping):
        return _convert_mapping(batch, dtype)
    if is_dataclass(batch) and not isinstance(batch, type):
        return _convert_dataclass(batch, dtype)
    return batch


def _convert_sequence(batch: list[Any] | tuple[Any, ...], dtype: torch.dtype) -> Any:
    converted = [convert_floats(item, dtype) for item in batch]
    make = getattr(batch, "_make", type(batch))  # a named tuple takes its fields one by one
    return make(converted)


def _convert_mapping(batch: Mapping[Any, Any], dtype: torch.dtype) -> Any:
    converted = {key: convert_floats(value, dtype) for key, value in batch.items()}
    if type(batch) is dict:
        return converted
    if isinstance(batch, (dict, UserDict)):
        # A copy keeps what the constructor would ask for, such as a default factory.
        result = copy.copy(batch)
        result.update(converted)
        return result
    return type(batch)(converted)  # type: ignore[call-arg]


def _convert_dataclass(batch: Any, dtype: torch.dtype) -> Any:
    result = copy.copy(batch)
    for field in fields(batch):
        if hasattr(batch, field.name):
            # Also where it is frozen, and without running its __post_init__ again.
            object.__setattr__(result, field.name, convert_floats(getattr(batch, field.name), dtype))
    return result
