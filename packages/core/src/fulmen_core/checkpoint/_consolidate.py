"""One file out of a directory that several processes wrote."""

from __future__ import annotations

from os import PathLike, fspath

from fulmen_core.checkpoint._io import TorchCheckpointIO
from fulmen_core.checkpoint._layout import OPTIMIZER_STATES
from fulmen_core.checkpoint._places import is_directory
from fulmen_interfaces import CheckpointError, CheckpointIO

_TRAINING_ONLY = (OPTIMIZER_STATES, "lr_schedulers", "callbacks", "fulmen", "MixedPrecision")


def consolidate_checkpoint(
    directory: str | PathLike[str],
    file: str | PathLike[str],
    *,
    save_weights_only: bool = False,
    weights_only: bool = True,
    checkpoint_io: CheckpointIO | None = None,
) -> None:
    """Write a sharded checkpoint anew as one plain file, as a run on one device would have saved it.

    One process suffices, whatever number wrote the directory; its memory must hold the whole checkpoint. The file has
    the keys that Lightning reads. With `save_weights_only` what only training needs is left out. `weights_only=False`
    also reads objects that are not plain values: only from who you trust.
    """
    source, target = fspath(directory), fspath(file)
    if not is_directory(source):
        raise CheckpointError(
            f"{source} was to be consolidated, but it is no directory. "
            'Give the path of a checkpoint that was saved with `state_dict_type="sharded"`; a file needs nothing.',
            source,
        )
    if is_directory(target):
        raise CheckpointError(
            f"{source} was to be consolidated to {target}, but that is a directory. Give the path of a new file.",
            target,
        )
    io = checkpoint_io or TorchCheckpointIO()
    checkpoint = TorchCheckpointIO().load(source, weights_only=weights_only)
    if save_weights_only:
        checkpoint = {key: value for key, value in checkpoint.items() if key not in _TRAINING_ONLY}
    io.save(checkpoint, target)
