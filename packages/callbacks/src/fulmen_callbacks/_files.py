"""Files and folders, on this machine or at a URL."""

from __future__ import annotations

import os
import secrets
import shutil
from typing import Any


def is_remote(path: str) -> bool:
    """Return whether the path is a URL such as `s3://bucket/run`."""
    return "://" in path


def absolute(path: str | os.PathLike[str]) -> str:
    """Return the full path, home directory and links resolved; a URL as it is."""
    text = os.fspath(path)
    return text if is_remote(text) else os.path.realpath(os.path.expanduser(text))


def exists(path: str) -> bool:
    """Return whether a file or folder is there."""
    return bool(_filesystem(path).exists(path)) if is_remote(path) else os.path.lexists(path)


def names(folder: str) -> list[str]:
    """Return the names of what lies in a folder; none where it is absent."""
    if is_remote(folder):
        filesystem = _filesystem(folder)
        entries = filesystem.ls(folder, detail=False) if filesystem.isdir(folder) else []
        return [os.path.basename(entry.rstrip("/")) for entry in entries]
    return os.listdir(folder) if os.path.isdir(folder) else []


def write_text(path: str, text: str) -> None:
    """Write a file, and its folder."""
    if is_remote(path):
        _filesystem(path).pipe_file(path, text.encode())
        return
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def is_within(path: str, folder: str) -> bool:
    """Return whether the path lies below the folder."""
    if is_remote(path):
        return path.startswith(folder.rstrip("/") + "/")
    return os.path.abspath(path).startswith(os.path.abspath(folder).rstrip(os.sep) + os.sep)


def same(path: str, other: str) -> bool:
    """Return whether both are one path; links are not followed."""
    if is_remote(path) or is_remote(other):
        return path == other
    return os.path.abspath(path) == os.path.abspath(other)


def link(target: str, name: str) -> None:
    """Make `name` a relative link to `target`, in place of whatever was there; a copy where links are impossible.

    Where a file or link had that name, one has it at every moment. The target may still be on its way to the disk.
    """
    if os.path.isdir(name) and not os.path.islink(name):
        shutil.rmtree(name)
    folder, file = os.path.split(name)
    os.makedirs(folder, exist_ok=True)
    new = os.path.join(folder, f".{file}.{secrets.token_hex(4)}.tmp")
    try:
        os.symlink(os.path.relpath(target, folder), new)
    except OSError:
        (shutil.copytree if os.path.isdir(target) else shutil.copy)(target, new)
    os.replace(new, name)


def leads_to(name: str, target: str) -> bool:
    """Return whether `name` is a link to `target`."""
    return not is_remote(name) and os.path.islink(name) and os.path.realpath(name) == os.path.realpath(target)


def _filesystem(path: str) -> Any:
    import fsspec

    return fsspec.filesystem(path.partition("://")[0])
