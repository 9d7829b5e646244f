"""Folders of versions, on this machine or at a URL."""

from __future__ import annotations

import os
from typing import Any


def folders(path: str) -> list[str]:
    """Return the names of the folders in a folder; none where it is absent."""
    if _is_remote(path):
        filesystem = _filesystem(path)
        entries = filesystem.ls(path, detail=True) if filesystem.isdir(path) else []
        return [os.path.basename(entry["name"].rstrip("/")) for entry in entries if entry["type"] == "directory"]
    return [entry.name for entry in os.scandir(path) if entry.is_dir()] if os.path.isdir(path) else []


def write_text(folder: str, name: str, text: str) -> None:
    """Write a file, and its folder, so that it holds either the old text or the new one."""
    if _is_remote(folder):
        _filesystem(folder).pipe_file(f"{folder.rstrip('/')}/{name}", text.encode())
        return
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, os.path.join(folder, name))


def _is_remote(path: str) -> bool:
    return "://" in path


def _filesystem(path: str) -> Any:
    import fsspec

    return fsspec.filesystem(path.partition("://")[0])
