"""Which file a `ckpt_path` means."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath

from fulmen_interfaces import Callback, CheckpointCallback, CheckpointError, Stage, rank_zero_warn


def checkpoint_path(given: str | PathLike[str] | None, callbacks: Sequence[Callback], stage: Stage) -> str | None:
    """Return the path that was given, or what `"best"` and `"last"` stand for.

    Raises CheckpointError where there is no such checkpoint; `fit(ckpt_path="last")` begins anew then, with a warning.
    """
    if given is None:
        return None
    word = fspath(given)
    if word not in ("best", "last"):
        return word
    keepers = [one for one in callbacks if isinstance(one, CheckpointCallback)]
    for keeper in keepers:
        path = keeper.best_model_path if word == "best" else keeper.last_model_path
        if path:
            return path
    if word == "last" and stage is Stage.FIT:
        rank_zero_warn('`ckpt_path="last"` was asked for, but there is no last checkpoint. Training begins anew.')
        return None
    reason = "has not saved one yet" if keepers else "is missing: no callback writes checkpoints"
    raise CheckpointError(
        f'`ckpt_path="{word}"` was asked for, but ModelCheckpoint {reason}. '
        "Fit with ModelCheckpoint first, or give the path of a file."
    )
