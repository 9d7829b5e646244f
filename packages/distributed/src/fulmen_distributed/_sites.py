"""Where a thread stands, in terms of the user's own files."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from types import FrameType, TracebackType

_LIBRARIES = {"torch", "torchmetrics", "deepspeed", "fairscale", "fulmen"} | set(sys.stdlib_module_names)
_OWN_MACHINERY = "fulmen_distributed"
_WAITING = ("torch.distributed", "torch.nn.parallel.distributed", f"{_OWN_MACHINERY}._collectives")
_BACKWARD = "_engine_run_backward"
_COMPARED = 4
"""How many of our functions must agree."""
_LAUNCHING = ("launch", "_work")
"""What lies further out differs between a launching process and a launched one."""
_looking = threading.Lock()


@dataclass(frozen=True)
class Site:
    """A line of the user's, and which functions of ours it led through to where the thread is."""

    file: str
    line: int
    function: str
    through: tuple[str, ...] = ()
    """Functions of fulmen, the innermost first."""

    @classmethod
    def of(cls, frame: FrameType | None) -> Site:
        """Return where a frame is: the innermost line that belongs neither to a library nor to Python."""
        through: list[str] = []
        last, launched = frame, False
        for one in _outwards(frame):
            last, module = one, _module(one)
            if not _is_library(module):
                break
            launched = launched or one.f_code.co_name in _LAUNCHING
            if module.startswith("fulmen") and not (launched or module.startswith(_OWN_MACHINERY)):
                through.append(f"{module}.{one.f_code.co_name}")
        if last is None:
            return cls("?", 0, "?")
        return cls(last.f_code.co_filename, last.f_lineno, last.f_code.co_name, tuple(through))

    @classmethod
    def of_error(cls, traceback: TracebackType | None) -> Site:
        """Return where an error was raised."""
        frame, line = None, 0
        while traceback is not None:
            if frame is None or not _is_library(_module(traceback.tb_frame)):
                frame, line = traceback.tb_frame, traceback.tb_lineno
            traceback = traceback.tb_next
        return cls("?", 0, "?") if frame is None else cls(frame.f_code.co_filename, line, frame.f_code.co_name)

    @property
    def key(self) -> str:
        """What must be the same on all ranks: all but the line, for ranks may part within a function."""
        return "|".join([os.path.basename(self.file), self.function, *self.through[:_COMPARED]])

    def __str__(self) -> str:
        where = f"{self.file}:{self.line} in {self.function}"
        return f"{where}, by way of {self.through[0]}" if self.through else where


def frame_of(thread: int) -> FrameType | None:
    """Return where a thread is; None where it has ended.

    Until Python 3.12, a garbage collection that begins within this look holds a lock of the interpreter while other
    threads may run, and all of them can be locked up (https://github.com/python/cpython/issues/106883).
    """
    with _looking:
        collects = gc.isenabled()
        gc.disable()
        try:
            return sys._current_frames().get(thread)
        finally:
            if collects:
                gc.enable()


def waits_for_others(frame: FrameType | None) -> bool:
    """Return whether a thread at that place is in an operation of several processes, not in a step called by one."""
    return any(_module(one).startswith(_WAITING) for one in _within_libraries(frame))


def may_wait_for_others(frame: FrameType | None) -> bool:
    """Return whether a thread at that place is in such an operation, or where gradients may be sent around."""
    return waits_for_others(frame) or any(one.f_code.co_name == _BACKWARD for one in _within_libraries(frame))


def fingerprint(frame: FrameType | None) -> tuple[tuple[int, int], ...]:
    """Return what changes as soon as the thread goes on."""
    return tuple((id(one), one.f_lasti) for one in _outwards(frame))


def _within_libraries(frame: FrameType | None) -> Iterator[FrameType]:
    """Return the frames that are further in than the innermost line of the user's."""
    return takewhile(lambda one: _is_library(_module(one)), _outwards(frame))


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_library(module: str) -> bool:
    root = module.partition(".")[0]
    return root in _LIBRARIES or root.startswith("fulmen_")
