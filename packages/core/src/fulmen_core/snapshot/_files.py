"""A run's checkpoints on the way to where they are kept: as files, or as directories of several processes."""

from __future__ import annotations

from typing import Any

from fulmen_core.checkpoint import AsyncCheckpointIO, Writers, save_directory
from fulmen_core.loop import Engine
from fulmen_core.snapshot._dump import sharded
from fulmen_interfaces import CheckpointIO


def save_snapshot(
    engine: Engine, checkpoint: dict[str, Any], path: str, checkpoint_io: CheckpointIO, *, storage_options: Any = None
) -> None:
    """Write what `dump` returned. On all ranks; rank zero writes a file, and each its part of a directory."""
    if sharded(engine.prepared) is not None:
        io = checkpoint_io.wrapped if isinstance(checkpoint_io, AsyncCheckpointIO) else checkpoint_io
        writers = Writers(engine.world, engine.collectives, io)
        save_directory(checkpoint, path, writers, storage_options=storage_options)
    elif engine.world.is_global_zero:
        checkpoint_io.save(checkpoint, path, storage_options=storage_options)
    engine.collectives.barrier("save_checkpoint")
