"""What samplers remember from one epoch to the next without a generator: a count, an order shuffled in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

_SCALAR = (bool, int, float, str, type(None))


class SamplerValues:
    """The plain attributes of a loader's samplers that changed since this object was made, and no others.

    What did not change is configuration, which a later run may give differently; what changed decides what is read
    next. Numbers, texts, lists of integers and tensors are looked at.
    """

    def __init__(self, loader: object) -> None:
        self._samplers = dict(_samplers(loader))
        self._before: dict[str, Any] = {}
        self._before = {name: _copy(value) for name, value in self._values()}

    def capture(self) -> dict[str, Any]:
        """Return what changed, as plain values and tensors, by path: `sampler.epoch`."""
        changed = {name: value for name, value in self._values() if not _equal(value, self._before.get(name, self))}
        return {
            name: torch.tensor(value) if isinstance(value, list) else _copy(value) for name, value in changed.items()
        }

    def restore(self, values: Mapping[str, Any]) -> None:
        """Set the attributes to what `capture` returned."""
        for path, value in values.items():
            owner, name = path.rsplit(".", 1)
            sampler = self._samplers.get(owner)
            present = getattr(sampler, name, None)
            if isinstance(present, list):
                present[:] = value.tolist()  # in place, because others may hold the same list
            elif isinstance(present, torch.Tensor):
                present.copy_(value)
            elif sampler is not None:
                setattr(sampler, name, value)

    def _values(self) -> Iterator[tuple[str, Any]]:
        for path, sampler in self._samplers.items():
            for name, value in vars(sampler).items():
                # Lists can be long, so those that are known already are not looked at again.
                if f"{path}.{name}" in self._before or _is_plain(value):
                    yield f"{path}.{name}", value


def _samplers(loader: object) -> Iterator[tuple[str, object]]:
    batch_sampler = getattr(loader, "batch_sampler", None)
    candidates = {
        "sampler": getattr(loader, "sampler", None),
        "batch_sampler": batch_sampler,
        "batch_sampler.sampler": getattr(batch_sampler, "sampler", None),
    }
    for path, sampler in candidates.items():
        if hasattr(sampler, "__dict__"):
            yield path, sampler


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and all(type(item) is int for item in value)
    return isinstance(value, (*_SCALAR, torch.Tensor))


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value[:] if isinstance(value, list) else value


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    return type(one) is type(other) and bool(one == other)
