"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_WRITE_BACK_BYTES = 8 * 2**20
_in_progress: set[Path] = set()


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
        """Write all of the data."""
        try:
            self._file.write(data)
        except OSError as error:
            self.error = error
            raise
        self._written += len(data)
        if self._written - self._written_back >= _WRITE_BACK_BYTES:
            self._write_back()
        return len(data)

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
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    _in_progress.add(temporary)
    try:
        with temporary.open("xb") as file:
            yield StreamedFile(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    finally:
        _in_progress.discard(temporary)
    _sync_directory(target.parent)


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":
        return
    with suppress(OSError):  # some network file systems refuse it; they are the ones where a rename is final
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_leftovers(target: Path) -> None:
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.[0-9a-f]{{8}}\.tmp")
    for name in os.listdir(target.parent):
        match = pattern.fullmatch(name)
        if match is None:
            continue
        leftover = target.with_name(name)
        if leftover not in _in_progress and not _is_other_process(int(match.group(1))):
            with suppress(OSError):
                leftover.unlink()


def _is_other_process(pid: int) -> bool:
    """Return whether a process of that number is running, other than this one."""
    if pid == os.getpid():
        return False
    if os.name != "posix":
        return False  # a file that is open cannot be removed there, so that trying does no harm
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to another user
        return True
    return True
