"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fulmen_core.checkpoint._replace import claimed, sync_directory, take_place

_WRITE_BACK_BYTES = 2 * 2**20


class StreamedFile:
    """What `torch.save` writes into: passes on to a file, and remembers the system's error where one occurs.

    On Linux the system is told to write to disk early, so that the final `fsync` finds little left to wait for.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.error: OSError | None = None
        self._file = file
        self._written = 0
        self._written_back = 0

    def write(self, data: bytes) -> int:
        """Write all of the data, in pieces: the disk then works on the first while the next is copied."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _WRITE_BACK_BYTES):
            self._write_piece(view[start : start + _WRITE_BACK_BYTES])
        return len(view)

    def _write_piece(self, piece: memoryview) -> None:
        try:
            self._file.write(piece)
        except OSError as error:
            self.error = error
            raise
        self._written += len(piece)
        if self._written - self._written_back >= _WRITE_BACK_BYTES:
            self._write_back()

    def flush(self) -> None:
        """Hand what is buffered here to the system."""
        self._file.flush()

    def _write_back(self) -> None:
        if sys.platform == "linux":
            with suppress(OSError):  # only a matter of speed: pipes and some file systems cannot
                count = self._written - self._written_back
                os.posix_fadvise(self._file.fileno(), self._written_back, count, os.POSIX_FADV_DONTNEED)
        self._written_back = self._written


@contextmanager
def whole_file(target: Path) -> Iterator[StreamedFile]:
    """Return a file that takes the target's place when the block ends, and vanishes where it fails.

    When it has ended, the content and the name are on disk: they survive a loss of power. What earlier writers of the
    same target left behind when they were killed is removed.
    """
    with claimed(target) as temporary:
        with temporary.open("xb") as file:
            yield StreamedFile(file)
            file.flush()
            os.fsync(file.fileno())
        take_place(temporary, target)
    sync_directory(target.parent)
