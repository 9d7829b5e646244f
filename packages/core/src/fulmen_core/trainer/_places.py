"""Which file a `ckpt_path` means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike, fspath

from fulmen_core.checkpoint import modified
from fulmen_interfaces import (
    Callback,
    CheckpointCallback,
    CheckpointError,
    ConfigurationError,
    Problem,
    Stage,
    SupportsFindingLast,
    TrainerView,
    rank_zero_warn,
)

LAST = "last"


def checkpoint_path(given: str | PathLike[str] | None, callbacks: Sequence[Callback]) -> str | None:
    """Return the path that was given, or what `"best"` stands for; `"last"` is looked for when the run begins.

    Raises CheckpointError where there is no best checkpoint, and for words that mean something in Lightning only;
    ConfigurationError for what is no path.
    """
    if given is None:
        return None
    if not isinstance(given, (str, PathLike)):
        reason, remedy = "It is no path.", "Give the path of a checkpoint, 'last' or 'best'."
        raise ConfigurationError([Problem("ckpt_path", given, reason, remedy)])
    word = fspath(given)
    if word == "hpc" or word.partition(":")[0] == "registry":
        raise _unknown(word)
    if word != "best":
        return word
    for keeper in _keepers(callbacks):
        if keeper.best_model_path:
            return keeper.best_model_path
    raise _nowhere(word, callbacks)


def newest_checkpoint(trainer: TrainerView, callbacks: Sequence[Callback]) -> str:
    """Return the newest of what is kept as the last checkpoint, by this process or an earlier one; empty for none."""
    paths = {keeper.last_model_path for keeper in _keepers(callbacks)} - {""}
    for one in callbacks:
        if isinstance(one, SupportsFindingLast):
            paths |= one.find_last_checkpoints(trainer)
    times = {path: time for path in sorted(paths) if (time := modified(path)) is not None}
    return max(times, key=times.__getitem__, default="")


def nothing_newest(callbacks: Sequence[Callback], stage: Stage) -> None:
    """Warn that `fit` begins anew because there is no last checkpoint. Raises CheckpointError for other stages."""
    if stage is not Stage.FIT:
        raise _nowhere(LAST, callbacks)
    rank_zero_warn('`ckpt_path="last"` was asked for, but there is no last checkpoint. Training begins anew.')


def _unknown(word: str) -> CheckpointError:
    return CheckpointError(
        f'`ckpt_path="{word}"` stands for nothing here: there is no registry of models, and a job that its scheduler '
        f'runs again goes on by itself. Give "best", "last" or a path; a file of that name is "./{word}".'
    )


def _keepers(callbacks: Iterable[Callback]) -> list[CheckpointCallback]:
    return [one for one in callbacks if isinstance(one, CheckpointCallback)]


def _nowhere(word: str, callbacks: Sequence[Callback]) -> CheckpointError:
    reason = "has not saved one yet" if _keepers(callbacks) else "is missing: no callback writes checkpoints"
    return CheckpointError(
        f'`ckpt_path="{word}"` was asked for, but ModelCheckpoint {reason}. '
        "Fit with ModelCheckpoint first, or give the path of a file."
    )
