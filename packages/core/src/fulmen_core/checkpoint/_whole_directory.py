"""Directories that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Protocol, final

from fulmen_core.checkpoint._places import file_system, is_remote, local_path
from fulmen_core.checkpoint._replace import claimed, sync_directory, take_place


class NewDirectory(Protocol):
    """A directory that is being written; its methods are called by one process."""

    def begin(self) -> str:
        """Return where to write to."""
        ...

    def finish(self) -> None:
        """Give it its name."""
        ...

    def leave(self) -> None:
        """Remove what is left of it where it was not finished."""
        ...


def new_directory(path: str, storage_options: Mapping[str, Any]) -> NewDirectory:
    """Return a directory to be written to a path, on this machine or elsewhere."""
    return _Remote(path, storage_options) if is_remote(path) else _Local(Path(local_path(path)))


@final
class _Local:
    """Written under a hidden name beside the target, brought to disk, and renamed."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._claim = ExitStack()
        self._temporary = target

    def begin(self) -> str:
        self._temporary = self._claim.enter_context(claimed(self._target))
        self._temporary.mkdir()
        return str(self._temporary)

    def finish(self) -> None:
        sync_directory(self._temporary)
        take_place(self._temporary, self._target)
        sync_directory(self._target.parent)

    def leave(self) -> None:
        self._claim.close()


@final
class _Remote:
    """Written in place where nothing is there, else beside it and moved. Stores know no renaming of directories."""

    def __init__(self, path: str, storage_options: Mapping[str, Any]) -> None:
        self._path = path.rstrip("/")
        self._system, self._target = file_system(path, **storage_options)
        self._temporary = ""
        self._finished = False

    def begin(self) -> str:
        taken = self._system.exists(self._target)
        ending = f".{os.getpid()}.{secrets.token_hex(4)}.tmp" if taken else ""
        self._temporary = f"{self._target}{ending}"
        return f"{self._path}{ending}"

    def finish(self) -> None:
        if self._temporary != self._target:
            self._system.rm(self._target, recursive=True)
            self._system.mv(self._temporary, self._target, recursive=True)
        self._finished = True

    def leave(self) -> None:
        if self._finished or not self._temporary:
            return
        with suppress(Exception):  # the first error is the one to be told
            self._system.rm(self._temporary, recursive=True)
