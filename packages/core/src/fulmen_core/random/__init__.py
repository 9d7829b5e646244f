"""Random generators: what state they are in, and how to put them back there."""

from __future__ import annotations

from fulmen_core.random._owned import (
    capture_generators,
    find_generators,
    generator_states,
    restore_generators,
    same_generators,
)
from fulmen_core.random._state import RandomStates, Snapshot, capture_random_state, restore_random_state

__all__ = [
    "RandomStates",
    "Snapshot",
    "capture_generators",
    "capture_random_state",
    "find_generators",
    "generator_states",
    "restore_generators",
    "restore_random_state",
    "same_generators",
]
