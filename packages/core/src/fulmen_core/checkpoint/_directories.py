"""Checkpoints that are files or directories. What only directories need is imported with the first of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fulmen_core.checkpoint._places import is_directory
from fulmen_interfaces import CheckpointIO, World

if TYPE_CHECKING:
    from fulmen_core.checkpoint._writers import Writers


def save_directory(checkpoint: Mapping[str, Any], path: str, writers: Writers, *, storage_options: Any = None) -> None:
    """Write a checkpoint whose `state_dict` and `optimizer_states` (by name) are what each rank has. On all ranks."""
    from fulmen_core.checkpoint._sharded import save_sharded

    save_sharded(checkpoint, path, writers, storage_options=storage_options)


def open_checkpoint(
    path: str,
    checkpoint_io: CheckpointIO,
    *,
    weights_only: bool,
    map_location: Any = "cpu",
    world: World | None = None,
) -> dict[str, Any]:
    """Read a file, or what a directory holds beside its states: these are read when they are asked for.

    Then `state_dict` is a StoredState and `optimizer_states` a list of StoredOptimizer, whose whole tensors come in the
    host's memory. With a `world`, its processes share the work of comparing a directory's checksums.
    """
    if not is_directory(path):
        return checkpoint_io.load(path, map_location=map_location, weights_only=weights_only)
    from fulmen_core.checkpoint._sharded import load_sharded

    return load_sharded(path, checkpoint_io=checkpoint_io, weights_only=weights_only, world=world or World())
