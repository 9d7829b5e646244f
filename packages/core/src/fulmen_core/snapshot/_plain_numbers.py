"""NumPy's scalars as Python's numbers: the former cannot be loaded where only plain values are."""

from __future__ import annotations

import sys
from typing import Any


def plain_numbers(value: Any) -> Any:
    """Return a value without NumPy scalars in its dicts, lists and tuples; what holds none is returned as it is."""
    numpy = sys.modules.get("numpy")
    return value if numpy is None else _plain(value, numpy.generic)


def _plain(value: Any, scalar: type) -> Any:
    if isinstance(value, scalar):
        return value.item()  # type: ignore[attr-defined]
    if type(value) is dict:
        changed = {name: new for name, item in value.items() if (new := _plain(item, scalar)) is not item}
        return {**value, **changed} if changed else value
    if type(value) in (list, tuple):
        items = [_plain(item, scalar) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else type(value)(items)
    return value
