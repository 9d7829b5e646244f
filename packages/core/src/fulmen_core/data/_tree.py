"""Nested collections: of loaders, and of the tensors in a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch

_PLAIN = (bool, int, float, complex, str, bytes, torch.Tensor)


class Shape:
    """The nesting of lists, tuples and dicts in which loaders were given."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self.leaves: list[Any] = []
        """What is nested, in order."""
        _collect(collection, self.leaves)

    def build(self, leaves: Sequence[Any]) -> Any:
        """Return other leaves in the same nesting."""
        return _build(self._collection, iter(leaves))


def is_collection(value: object) -> bool:
    """Whether it holds loaders, and is none itself. A list or tuple of plain values or tensors is a loader."""
    if isinstance(value, dict):
        return bool(value)
    return isinstance(value, (list, tuple)) and bool(value) and not all(map(_is_plain, value))


def holds_batches(value: object) -> bool:
    """Whether a list or tuple holds nothing but batches: tensors and plain values, nested in any way."""
    if isinstance(value, dict):
        return all(holds_batches(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return all(holds_batches(item) for item in value)
    return value is None or _is_plain(value)


def _is_plain(value: object) -> bool:
    """Whether it is a plain value, a tensor or another array, such as numpy's."""
    return isinstance(value, _PLAIN) or hasattr(value, "__array__")


def _collect(value: Any, leaves: list[Any]) -> None:
    if not is_collection(value):
        leaves.append(value)
        return
    for item in value.values() if isinstance(value, dict) else value:
        _collect(item, leaves)


def _build(value: Any, leaves: Any) -> Any:
    if not is_collection(value):
        return next(leaves)
    if isinstance(value, dict):
        built = copy.copy(value)  # keeps the type, and a defaultdict's factory
        for name, item in value.items():
            built[name] = _build(item, leaves)
        return built
    items = [_build(item, leaves) for item in value]
    if hasattr(value, "_fields"):
        return type(value)(*items)
    return items if type(value) is list else type(value)(items)


def tensors_of(batch: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in a batch's lists, tuples, dicts and dataclasses."""
    if isinstance(batch, torch.Tensor):
        yield batch
        return
    parts: Iterable[Any] = ()
    if isinstance(batch, Mapping):
        parts = batch.values()
    elif isinstance(batch, (list, tuple)):
        parts = batch
    elif is_dataclass(batch) and not isinstance(batch, type):
        parts = [getattr(batch, field.name, None) for field in fields(batch)]
    for part in parts:
        yield from tensors_of(part)


def map_loaders(loaders: Any, function: Callable[[Any], Any]) -> Any:
    """Return the loaders, nested as they were given, with `function` applied to each; the collection is made anew."""
    if holds_batches(loaders) or not is_collection(loaders):
        return function(loaders)
    shape = Shape(loaders)
    return shape.build([function(leaf) for leaf in shape.leaves])
