"""Objects that are known without being kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar, final
from weakref import ReferenceType, ref

T = TypeVar("T")


@final
class WeakList(Generic[T]):
    """Objects in the order in which they came, but for those that nobody uses any more. A copy of it is empty."""

    def __init__(self) -> None:
        self._references: list[ReferenceType[T]] = []

    def __iter__(self) -> Iterator[T]:
        return (one for reference in self._references if (one := reference()) is not None)

    def append(self, one: T) -> None:
        """Know another one."""
        self._references = [*map(ref, self), ref(one)]

    def clear(self) -> None:
        """Know none."""
        self._references.clear()

    def __reduce__(self) -> tuple[Any, ...]:
        return WeakList, ()
