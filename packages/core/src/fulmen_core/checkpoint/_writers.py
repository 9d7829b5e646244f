"""Who writes a directory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from fulmen_interfaces import CheckpointError, CheckpointIO, Collectives, World

T = TypeVar("T")


@dataclass(frozen=True)
class Writers:
    """The processes that write a directory together."""

    world: World
    collectives: Collectives
    checkpoint_io: CheckpointIO
    """Writes the plain file; it is written when `save` returns."""

    def on_first(self, work: Callable[[], T]) -> T:
        """Let rank zero do something; its result, or its CheckpointError, is everybody's."""
        outcome: tuple[Any, CheckpointError | None] = (None, None)
        if self.world.is_global_zero:
            try:
                outcome = (work(), None)
            except CheckpointError as error:
                outcome = (None, error)
        result, failure = self.collectives.broadcast(outcome)
        if failure is not None:
            raise failure
        value: T = result
        return value
