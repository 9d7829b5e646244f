"""Where checkpoints lie, and which of the files there may be touched."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from fulmen_callbacks import _files
from fulmen_interfaces import TrainerView


def default_folder(trainer: TrainerView) -> str:
    """Return the folder beside the first logger's files; below the default root where there is no logger.

    Right on rank zero only: the others' loggers may know no version.
    """
    if not trainer.loggers:
        return os.path.join(trainer.default_root_dir, "checkpoints")
    logger = trainer.loggers[0]
    base = logger.save_dir or trainer.default_root_dir
    version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
    return os.path.join(base, str(logger.name), version, "checkpoints")


def free_path(path_of: Callable[[int | None], str], *, reuse: str, first_version: int) -> str:
    """Return the path without a version, or with the first that is free; `reuse` is ours and counts as free."""
    path, version = path_of(None), first_version
    while path != reuse and _files.exists(path):
        path, version = path_of(version), version + 1
    return path


def may_remove(path: str, folder: str, resumed_from: str | None) -> bool:
    """Return whether a file that has to go is ours: it lies in our folder, and the run did not begin from it."""
    if resumed_from is not None and _files.same(path, resumed_from):
        return False
    return _files.is_within(path, folder)


def matching(folder: str, pattern: re.Pattern[str]) -> set[str]:
    """Return the paths of what lies in the folder under such a name."""
    return {os.path.join(folder, name) for name in _files.names(folder) if pattern.fullmatch(name)}
