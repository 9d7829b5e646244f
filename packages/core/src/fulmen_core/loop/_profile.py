"""Profiling: calls are wrapped before a loop starts, so that a run without a profiler pays nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from torch import nn

from fulmen_interfaces import Hook, Profiler, SupportsModuleProfiling

T = TypeVar("T")
Call = Callable[..., Any]


class Profiling:
    """The profiler of a run, or none. Where there is none, every method returns what it was given."""

    def __init__(self, profiler: Profiler | None = None) -> None:
        self.profiler = profiler

    def attach(self, module: nn.Module) -> None:
        """Show the module to a profiler that tells its parts apart."""
        if isinstance(self.profiler, SupportsModuleProfiling):
            self.profiler.attach(module)

    def wrap(self, action: str, call: Call) -> Call:
        """Return the call, measured under that name."""
        profiler = self.profiler
        if profiler is None:
            return call

        def measured(*args: Any, **kwargs: Any) -> Any:
            with profiler.profile(action):
                return call(*args, **kwargs)

        return measured

    def hook(self, owner: object, hook: Hook, call: Call) -> Call:
        """Return a hook of a callback, module or data module, measured under its class and name."""
        return self.wrap(f"{type(owner).__name__}.{hook.value}", call)

    def batch(self, action: str, call: Call) -> Call:
        """Return the call that runs one batch, measured under that name; the profiler is told of the batch's end."""
        profiler = self.profiler
        if profiler is None:
            return call
        measured = self.wrap(action, call)

        def run(*args: Any) -> None:
            measured(*args)
            profiler.step()

        return run

    def fetches(self, action: str, batches: Iterator[T]) -> Iterator[T]:
        """Return the batches, the time to fetch each measured under that name."""
        return batches if self.profiler is None else _fetch(self.profiler, action, batches)

    def steps(self, batches: Iterable[T]) -> Iterable[T]:
        """Return the batches; the profiler is told of each one's end when the next is asked for."""
        return batches if self.profiler is None else _step(self.profiler, batches)


def _fetch(profiler: Profiler, action: str, batches: Iterator[T]) -> Iterator[T]:
    while True:
        with profiler.profile(action):
            try:
                batch = next(batches)
            except StopIteration:
                return
        yield batch


def _step(profiler: Profiler, batches: Iterable[T]) -> Iterator[T]:
    for batch in batches:
        yield batch
        profiler.step()
