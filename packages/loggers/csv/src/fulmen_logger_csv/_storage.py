"""Text files, on this machine or at a URL."""

from __future__ import annotations

import os
from typing import IO, Any


def is_remote(path: str) -> bool:
    """Return whether the path is a URL such as `s3://bucket/logs`."""
    return "://" in path


def exists(path: str) -> bool:
    """Return whether there is such a file."""
    return bool(_filesystem(path).exists(path)) if is_remote(path) else os.path.exists(path)


def folders(path: str) -> list[str]:
    """Return the names of the folders in a folder; none where it is absent."""
    if is_remote(path):
        filesystem = _filesystem(path)
        entries = filesystem.ls(path, detail=True) if filesystem.isdir(path) else []
        return [os.path.basename(entry["name"].rstrip("/")) for entry in entries if entry["type"] == "directory"]
    return [entry.name for entry in os.scandir(path) if entry.is_dir()] if os.path.isdir(path) else []


def read(path: str) -> str:
    """Return the text of a file."""
    if is_remote(path):
        return bytes(_filesystem(path).cat_file(path)).decode()
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def replace(path: str, text: str) -> None:
    """Write a file, and its folder, so that it holds either the old text or the new one."""
    if is_remote(path):
        _filesystem(path).pipe_file(path, text.encode())
        return
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    with open(temporary, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    os.replace(temporary, path)


def appending(path: str) -> IO[str]:
    """Open a file of this machine to add text at its end."""
    return open(path, "a", encoding="utf-8", newline="")


def _filesystem(path: str) -> Any:
    import fsspec

    return fsspec.filesystem(path.partition("://")[0])
