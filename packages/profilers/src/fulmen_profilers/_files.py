"""Files that profilers write, on this machine or at a URL."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_UNSAFE = re.compile(r"[^\w.\-]+")


def file_name(*parts: object, extension: str) -> str:
    """Return the parts with dashes between them, fit for any file system."""
    return "-".join(_UNSAFE.sub("_", str(part)) for part in parts) + extension


def append(path: str, text: str) -> None:
    """Add text to the end of a file, which is made where it is not there."""
    before = _read(path)
    with writing(path) as local, open(local, "w", encoding="utf-8") as file:
        file.write(before + text)


@contextmanager
def writing(path: str) -> Iterator[str]:
    """Give a local name with the same ending to write to. What is there afterwards becomes the file, whole and at once.

    The folder of the file is made.
    """
    folder, name = os.path.split(path)
    if _is_remote(path):
        with tempfile.TemporaryDirectory() as local:
            yield os.path.join(local, name)
            filesystem = _filesystem(path)
            filesystem.makedirs(folder, exist_ok=True)
            filesystem.put_file(os.path.join(local, name), path)
        return
    os.makedirs(folder or ".", exist_ok=True)
    temporary = os.path.join(folder, f".{os.getpid()}.{name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def _read(path: str) -> str:
    if _is_remote(path):
        filesystem = _filesystem(path)
        return bytes(filesystem.cat_file(path)).decode() if filesystem.exists(path) else ""
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()


def _is_remote(path: str) -> bool:
    return "://" in path


def _filesystem(path: str) -> Any:
    import fsspec

    return fsspec.filesystem(path.partition("://")[0])
