"""Paths with and without a scheme."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fulmen_interfaces import CheckpointError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_LOCAL_SCHEMES = ("file://", "local://")


def is_remote(path: str) -> bool:
    """Whether a path has a scheme, other than that of local files."""
    return "://" in path and not path.startswith(_LOCAL_SCHEMES)


def is_web(path: str) -> bool:
    """Whether a path is the address of a file on the web, which can only be read."""
    return path.startswith(("http://", "https://"))


def local_path(path: str) -> str:
    """Return a local path without its scheme."""
    for scheme in _LOCAL_SCHEMES:
        path = path.removeprefix(scheme)
    return path


def file_system(path: str, **storage_options: Any) -> tuple[AbstractFileSystem, str]:
    """Return fsspec's file system for a path with a scheme, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        message = (
            f"{path} is not on this machine, and fsspec is not installed. Run `pip install 'fulmen-core[remote]'`."
        )
        raise CheckpointError(message, path) from error
    system, place = url_to_fs(path, **storage_options)
    return system, str(place)


def modified(path: str) -> float | None:
    """Return when a file or directory was written last, in seconds; None where there is none."""
    try:
        if not is_remote(path):
            return Path(local_path(path)).stat().st_mtime
        system, place = file_system(path)
        return float(system.modified(place).timestamp())
    except FileNotFoundError:
        return None


@contextmanager
def opened_for_writing(path: str) -> Iterator[IO[bytes]]:
    """Open a file, wherever it is, whose directories are made where they are absent."""
    if is_remote(path):
        system, place = file_system(path)
        system.makedirs(place.rpartition("/")[0], exist_ok=True)
        with system.open(place, "wb") as file:
            yield file
    else:
        target = Path(local_path(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            yield file


def is_directory(path: str) -> bool:
    """Return whether a path is a directory, on this machine or elsewhere."""
    if is_web(path):
        return False
    if not is_remote(path):
        return Path(local_path(path)).is_dir()
    system, place = file_system(path)
    return bool(system.isdir(place))


class Folder:
    """A directory on this machine or elsewhere, read by the names in it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._system: AbstractFileSystem | None = None
        self._place = local_path(path)
        if is_remote(path):
            self._system, self._place = file_system(path)

    def sizes(self) -> dict[str, int]:
        """Return the sizes of the files in it."""
        if self._system is None:
            return {one.name: one.stat().st_size for one in Path(self._place).iterdir() if one.is_file()}
        entries = self._system.ls(self._place, detail=True, refresh=True)
        return {str(one["name"]).rstrip("/").rpartition("/")[2]: int(one["size"] or 0) for one in entries}

    def open(self, name: str) -> IO[bytes]:
        """Open a file in it for reading."""
        if self._system is None:
            return (Path(self._place) / name).open("rb")
        file: IO[bytes] = self._system.open(f"{self._place}/{name}", "rb")
        return file

    def inside(self, name: str) -> str:
        """Return the path of a file in it."""
        return f"{self.path.rstrip('/')}/{name}"
