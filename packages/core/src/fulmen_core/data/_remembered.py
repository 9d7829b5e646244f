"""What is remembered from one epoch to the next without a generator: a count, an order shuffled in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader

_SCALAR = (bool, int, float, str, type(None))
_INTEGERS = "integers"
_DEEPEST = 4
"""Samplers within samplers that are looked at."""


class Remembered:
    """The plain attributes of a loader's parts that changed since this object was made, and no others.

    What did not change is configuration, which a later run may give differently; what changed decides what is read
    next. Looked at are numbers and texts, and of all but the data set lists of integers and tensors.
    """

    def __init__(self, loader: object) -> None:
        self._parts = dict(_parts(loader))
        self._before: dict[str, Any] = {}
        self._before = {path: _copy(value) for path, value in self._values()}

    def capture(self) -> dict[str, Any]:
        """Return what changed, as plain values and tensors, by path: `sampler.epoch`."""
        changed = {path: value for path, value in self._values() if not _equal(value, self._before.get(path, self))}
        return {path: _plain(value) for path, value in changed.items() if _is_plain(value)}

    def restore(self, values: Mapping[str, Any]) -> None:
        """Set the attributes to what `capture` returned, those that had not changed then to what they were first."""
        unchanged = {path: _plain(self._before[path]) for path in self.capture() if path in self._before}
        for path, value in {**unchanged, **values}.items():
            owner, name = path.rsplit(".", 1)
            if owner in self._parts:
                _set(self._parts[owner], name, value)

    def _values(self) -> Iterator[tuple[str, Any]]:
        for owner, part in self._parts.items():
            for name, value in vars(part).items():
                # Lists can be long, so those that are known already are not looked at again.
                if f"{owner}.{name}" in self._before or _is_plain(value, scalar=owner == "dataset"):
                    yield f"{owner}.{name}", value


def _parts(loader: object) -> Iterator[tuple[str, object]]:
    # A DataLoader itself remembers nothing, and who has a `state_dict` tells it there.
    itself = None if isinstance(loader, DataLoader) or hasattr(loader, "load_state_dict") else loader
    candidates = [("loader", itself), ("dataset", getattr(loader, "dataset", None))]
    for name in ("sampler", "batch_sampler"):
        candidates += _chain(name, getattr(loader, name, None))
    yield from ((path, part) for path, part in candidates if hasattr(part, "__dict__"))


def _chain(path: str, sampler: object) -> Iterator[tuple[str, object]]:
    """Yield a sampler and those from which it draws: a batch sampler's, and of several processes the user's own."""
    while sampler is not None and path.count(".") < _DEEPEST:
        yield path, sampler
        path, sampler = f"{path}.sampler", getattr(sampler, "sampler", None)


def _is_plain(value: object, *, scalar: bool = False) -> bool:
    if isinstance(value, _SCALAR):
        return True
    if isinstance(value, list):
        return not scalar and bool(value) and all(type(item) is int for item in value)
    return not scalar and isinstance(value, torch.Tensor)


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value[:] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    return {_INTEGERS: torch.tensor(value)} if isinstance(value, list) else _copy(value)


def _set(part: object, name: str, value: Any) -> None:
    present = getattr(part, name, None)
    if isinstance(value, dict):
        value = value[_INTEGERS].tolist()
        if isinstance(present, list):
            present[:] = value  # in place, because others may hold the same list
            return
    setattr(part, name, value.clone() if isinstance(value, torch.Tensor) else value)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    return type(one) is type(other) and bool(one == other)
