"""Checkpoints as directories, into which every process writes its part. `_layout` says what lies in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fulmen_core.checkpoint._failures import reading, writing
from fulmen_core.checkpoint._layout import (
    FORMAT_VERSION,
    GRADIENTS,
    META_FILE,
    MODEL,
    OPTIMIZER_STATES,
    OPTIMIZERS,
    RANKS,
    RUN,
    SHARDED_KEY,
    STATE_DICT,
)
from fulmen_core.checkpoint._parts import Parts, plain_file
from fulmen_core.checkpoint._places import Folder, is_remote
from fulmen_core.checkpoint._saved import (
    StoredOptimizer,
    StoredState,
    stored_model,
    stored_optimizers,
    with_stored_gradients,
)
from fulmen_core.checkpoint._table import check_content, read_table, slices_of
from fulmen_core.checkpoint._tensors import StoredTensors, write_tensors
from fulmen_core.checkpoint._whole_directory import NewDirectory, new_directory
from fulmen_core.checkpoint._writers import Writers
from fulmen_interfaces import CheckpointError, CheckpointIO, World


def save_sharded(checkpoint: Mapping[str, Any], path: str, writers: Writers, *, storage_options: Any = None) -> None:
    """Write a checkpoint whose states are what each rank has of them. On all ranks.

    `path` is what it was before or the whole directory, never a part. On remote stores, which know no renaming, the
    plain file comes last, and a directory without it is no checkpoint.
    """
    options = _options(path, storage_options)
    parts = Parts.of(checkpoint, writers.world.rank)
    plain = plain_file(checkpoint, writers.collectives.gather_objects(parts.plain))
    directory = new_directory(path, options)

    def begin() -> str:
        with writing(path, {}):
            return directory.begin()

    try:
        place = writers.on_first(begin)
        with writing(path, {}):
            write_tensors(place, parts.tensors, options)
        writers.on_first(lambda: _finish(directory, Folder(place), path, plain, writers.checkpoint_io, storage_options))
    finally:
        if writers.world.is_global_zero:
            directory.leave()


def load_sharded(path: str, *, checkpoint_io: CheckpointIO, weights_only: bool, world: World) -> dict[str, Any]:
    """Return what a directory holds; its states are read when they are asked for.

    Checksums are compared: each process of the world looks at some of the files' parts, at none where they are remote.
    """
    folder = Folder(path)
    with reading(path):
        table = read_table(folder)
        if not is_remote(path):
            check_content(folder, slices_of(table)[world.rank :: world.size])
    checkpoint = checkpoint_io.load(folder.inside(META_FILE), map_location="cpu", weights_only=weights_only)
    plain = checkpoint.pop(SHARDED_KEY, {})
    if plain.get("format", 0) > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format {plain['format']}, but this version reads directories up to {FORMAT_VERSION}. "
            "Upgrade fulmen-core.",
            path,
        )
    stored = StoredTensors(folder, table)
    if plain == {} or MODEL in plain:
        checkpoint[STATE_DICT] = stored_model(stored, plain)
    if OPTIMIZERS in plain:
        checkpoint[OPTIMIZER_STATES] = stored_optimizers(stored, plain)
    if RANKS in checkpoint.get(RUN, {}):
        checkpoint[RUN] = with_stored_gradients(checkpoint[RUN], stored)
    return checkpoint


def read_whole(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint as a file would hold it: its states whole, in memory."""
    whole = dict(checkpoint)
    state = whole.get(STATE_DICT)
    if isinstance(state, StoredState):
        whole[STATE_DICT] = state.whole()
    if OPTIMIZER_STATES in whole:
        states = whole[OPTIMIZER_STATES]
        whole[OPTIMIZER_STATES] = [one.whole() if isinstance(one, StoredOptimizer) else one for one in states]
    if RANKS in whole.get(RUN, {}):
        ranks = [{**one, GRADIENTS: dict(one.get(GRADIENTS, {}))} for one in whole[RUN][RANKS]]
        whole[RUN] = {**whole[RUN], RANKS: ranks}
    return whole


def _finish(
    directory: NewDirectory,
    folder: Folder,
    path: str,
    plain: Mapping[str, Any],
    checkpoint_io: CheckpointIO,
    storage_options: Any,
) -> None:
    try:
        checkpoint_io.save(plain, folder.inside(META_FILE), storage_options=storage_options)
        with writing(path, {}):
            read_table(folder)
            directory.finish()
    except CheckpointError as error:
        raise CheckpointError(str(error).replace(folder.path, path), path) from error


def _options(path: str, storage_options: Any) -> dict[str, Any]:
    if storage_options and not is_remote(path):
        raise CheckpointError(
            f"{path} was to be written with storage_options={storage_options!r}, but a local directory takes none. "
            "Leave them out, or give a path with a scheme, such as s3://bucket/name.ckpt.",
            path,
        )
    return dict(storage_options or {})
