"""Profiling: calls are wrapped before a loop starts, so that a run without a profiler pays nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from fulmen_interfaces import Profiler

T = TypeVar("T")


class Profiling:
    """The profiler of a run, or none."""

    def __init__(self, profiler: Profiler | None) -> None:
        self.profiler = profiler

    def wrap(self, action: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call, measured under that name; the call itself where there is no profiler."""
        profiler = self.profiler
        if profiler is None:
            return call

        def measured(*args: Any, **kwargs: Any) -> Any:
            with profiler.profile(action):
                return call(*args, **kwargs)

        return measured

    def fetches(self, action: str, batches: Iterable[T]) -> Iterable[T]:
        """Return the batches, the time to fetch each measured under that name."""
        return batches if self.profiler is None else self._fetch(self.profiler, action, batches)

    def _fetch(self, profiler: Profiler, action: str, batches: Iterable[T]) -> Iterator[T]:
        iterator = iter(batches)
        while True:
            with profiler.profile(action):
                try:
                    batch = next(iterator)
                except StopIteration:
                    return
            yield batch
