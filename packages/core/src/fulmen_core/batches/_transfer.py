"""Moving batches to a device."""

from __future__ import annotations

import copy
from collections.abc import Callable, MutableMapping
from dataclasses import fields, is_dataclass
from typing import Any, Protocol, runtime_checkable

import torch


@runtime_checkable
class Movable(Protocol):
    """Anything with a `to` like a tensor's: packed sequences, graphs, batches of tokens."""

    def to(self, device: torch.device) -> Any:
        """Return it on that device."""
        ...


def move_to_device(batch: Any, device: torch.device, *, objects: bool = True) -> Any:
    """Return the batch with all its tensors on the device.

    Tensors are found in lists, tuples, named tuples, dicts, dataclasses and their subclasses, which are made anew;
    objects with a `to` are asked to move themselves, unless `objects` is False; everything else is returned as it is.
    Copies from pinned memory do not wait.
    """
    if isinstance(batch, torch.Tensor):
        # From memory that is not pinned a copy cannot overlap, and on some devices it could read what is gone by then.
        return batch.to(device, non_blocking=batch.is_pinned())
    if isinstance(batch, (str, bytes, int, float, type(None))):
        return batch
    if isinstance(batch, Movable):
        if not objects:
            return batch
        moved = batch.to(device)
        return batch if moved is None else moved  # some move in place and return nothing
    return _move_parts(batch, device, objects)


def _move_parts(batch: Any, device: torch.device, objects: bool) -> Any:
    moved: Any
    if isinstance(batch, MutableMapping):
        moved = copy.copy(batch)  # keeps the type, its attributes and a defaultdict's factory
        for name, item in batch.items():
            moved[name] = move_to_device(item, device, objects=objects)
        return moved
    if isinstance(batch, (list, tuple)):
        items = [move_to_device(item, device, objects=objects) for item in batch]
        if hasattr(batch, "_fields"):
            return type(batch)(*items)
        return items if type(batch) is list else type(batch)(items)
    if is_dataclass(batch) and not isinstance(batch, type):
        moved = copy.copy(batch)
        for field in fields(batch):
            if hasattr(batch, field.name):
                item = move_to_device(getattr(batch, field.name), device, objects=objects)
                object.__setattr__(moved, field.name, item)  # also if frozen
        return moved
    return batch


def transfer_function(device: torch.device, *, objects: bool = True) -> Callable[[Any], Any] | None:
    """Return what moves a batch to that device; None for the CPU, where batches already are."""
    if device.type == "cpu":
        return None

    def move(batch: Any) -> Any:
        return move_to_device(batch, device, objects=objects)

    return move
