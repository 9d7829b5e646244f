"""Names on the disk: writing beside them, and taking them in one step."""

from __future__ import annotations

import ctypes
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fulmen_core.checkpoint._layout import META_FILE, TABLE_FILE
from fulmen_interfaces import CheckpointError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_in_progress: set[Path] = set()


@contextmanager
def claimed(target: Path) -> Iterator[Path]:
    """Return a path beside the target to write to, which vanishes if it is still there when the block ends.

    What earlier writers of the same target left behind when they were killed is removed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    refuse_foreign(target)
    _remove_leftovers(target)
    temporary = _beside(target, "tmp")
    _in_progress.add(temporary)
    try:
        yield temporary
    finally:
        with suppress(OSError):
            remove_tree(temporary)
        _in_progress.discard(temporary)


def take_place(temporary: Path, target: Path) -> None:
    """Give a file or directory its name; a checkpoint that has it, file or directory, goes.

    Where the system can exchange two names (Linux), there is a whole checkpoint under the name at every moment; where
    it cannot, none is there between two renames if one of the two is a directory.
    """
    directories = [one for one in (temporary, target) if one.is_dir() and not one.is_symlink()]
    if not directories or not os.path.lexists(target):
        os.replace(temporary, target)
        return
    old = temporary
    if not _exchange(temporary, target):
        old = _beside(target, "old")
        os.replace(target, old)
        os.replace(temporary, target)
    with suppress(OSError):  # the new one is there; what stays of the old one has a hidden name
        remove_tree(old)


def remove_tree(path: Path) -> None:
    """Remove a file or directory. A directory loses its name first, so that half of it is never taken for all."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    doomed = path if path.name.startswith(".") else _beside(path, "old")
    if doomed is not path:
        os.replace(path, doomed)
    shutil.rmtree(doomed)


def refuse_foreign(target: Path) -> None:
    """Raise CheckpointError where a directory has the name that is no checkpoint."""
    if target.is_symlink() or not target.is_dir():
        return
    names = sorted(os.listdir(target))
    if META_FILE not in names and TABLE_FILE not in names:
        raise CheckpointError(
            f"The checkpoint {target} cannot be written: it is a directory, and no checkpoint; it holds "
            f"{', '.join(names[:5]) or 'nothing'}. Give the path of a file.",
            str(target),
        )


def sync_directory(directory: Path) -> None:
    """Bring the names in a directory to disk."""
    if os.name != "posix":
        return
    with suppress(OSError):  # some network file systems refuse it; they are the ones where a rename is final
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.{ending}")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; return whether the system could."""
    if sys.platform != "linux":
        return False
    with suppress(OSError, AttributeError):
        call = ctypes.CDLL(None, use_errno=True).renameat2
        return bool(call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)
    return False


def _remove_leftovers(target: Path) -> None:
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.[0-9a-f]{{8}}\.(tmp|old)")
    for name in os.listdir(target.parent):
        match = pattern.fullmatch(name)
        if match is None:
            continue
        leftover = target.with_name(name)
        if leftover not in _in_progress and not _is_other_process(int(match.group(1))):
            with suppress(OSError):
                remove_tree(leftover)


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
