"""A file that goes to disk while it is still being made."""

from __future__ import annotations

import errno
import mmap
import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import final

_BUFFER_BYTES = 2 * 2**20
_BLOCK_BYTES = 4096


@final
class StreamedFile:
    """What `torch.save` writes into: a thread writes one buffer to disk while the other is filled.

    On Linux data goes past the system's cache (O_DIRECT), whose pages the final `fsync` would have to wait for. Where
    the file system cannot do that, and elsewhere, it goes through the cache.
    """

    def __init__(self, path: Path) -> None:
        """Make the file. Raises FileExistsError where there is one."""
        self.error: OSError | None = None
        """What the system said when writing failed."""
        self._descriptor = _create(path)
        self._filling, self._written = (mmap.mmap(-1, _BUFFER_BYTES) for _ in range(2))  # whole pages, as O_DIRECT asks
        self._filled = 0
        self._length = 0
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None

    def write(self, data: bytes) -> int:
        """Take all of the data. Raises OSError where the data before it could not be written."""
        rest = memoryview(data).cast("B")
        length = len(rest)
        while rest:
            count = min(len(rest), _BUFFER_BYTES - self._filled)
            self._filling[self._filled : self._filled + count] = rest[:count]
            self._filled += count
            rest = rest[count:]
            if self._filled == _BUFFER_BYTES:
                self._hand_over()
        self._length += length
        return length

    def flush(self) -> None:
        """Do nothing: `finish` brings to disk what is left."""

    def finish(self) -> None:
        """Return when all of it is on disk."""
        self._hand_over()
        self._wait_for(self._writing)
        os.ftruncate(self._descriptor, self._length)  # the last block was a whole one
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file, whether it is finished or not."""
        self._thread.shutdown()
        os.close(self._descriptor)

    def _hand_over(self) -> None:
        """Let the thread write what is filled, and fill the other buffer."""
        count = -(-self._filled // _BLOCK_BYTES) * _BLOCK_BYTES
        before = self._writing  # not awaited until this one is queued, so that the disk never waits
        self._writing = self._thread.submit(_write_all, self._descriptor, memoryview(self._filling)[:count])
        self._wait_for(before)
        self._filling, self._written = self._written, self._filling
        self._filled = 0

    def _wait_for(self, writing: Future[None] | None) -> None:
        if writing is None:
            return
        try:
            writing.result()
        except OSError as error:
            self.error = error
            raise


def _create(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    if sys.platform == "linux":
        try:
            return os.open(path, flags | os.O_DIRECT, 0o666)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        with suppress(FileNotFoundError):
            path.unlink()  # it may have been made before the flag was refused
    return os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except OSError as error:
            if error.errno != errno.EINVAL or not _use_the_cache(descriptor):
                raise


def _use_the_cache(descriptor: int) -> bool:
    """Go through the system's cache from here on; return whether it was not so before.

    Some file systems refuse O_DIRECT only when they write, and after a short write nothing lies on blocks any more.
    """
    if sys.platform != "linux":
        return False
    import fcntl

    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    if not flags & os.O_DIRECT:
        return False
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
    return True
