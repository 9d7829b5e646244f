"""Loggers that write into folders, one for each version of an experiment."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable

from fulmen_interfaces._logger import Logger

_NUMBERED = re.compile(r"version_(\d+)")


class FolderLogger(Logger):
    """Base of loggers that write to `save_dir/name/version_N`, or to `save_dir/name/VERSION` where it is a word.

    Args:
        save_dir: a folder, or whatever else `folders` understands.
        name: the experiment; without one, versions lie in `save_dir` itself.
        version: a number or a word; None: the first free number, taken when it is first asked for.
        folders: lists the names of the folders in a folder, none where it is absent.
    """

    def __init__(
        self,
        save_dir: str | os.PathLike[str],
        name: str | None,
        version: int | str | None,
        *,
        folders: Callable[[str], Iterable[str]],
    ) -> None:
        self._save_dir = os.fspath(save_dir)
        self._name = name or ""
        self._version = version
        self._folders = folders

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> int | str:
        if self._version is None:
            taken = [int(match[1]) for name in self._folders(self.root_dir) if (match := _NUMBERED.fullmatch(name))]
            self._version = max(taken, default=-1) + 1
        return self._version

    @property
    def save_dir(self) -> str:
        return self._save_dir

    @property
    def root_dir(self) -> str:
        return os.path.join(self._save_dir, self._name) if self._name else self._save_dir

    @property
    def log_dir(self) -> str:
        return os.path.join(self.root_dir, version_folder(self.version))


def version_folder(version: int | str | None) -> str:
    """Return the name of a version's folder: `version_3` for a number, a word as it is."""
    return version if isinstance(version, str) else f"version_{version}"
