"""Ctrl-C and SIGTERM: the running batch is finished, then the run ends in order."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from fulmen_interfaces import get_rank, rank_zero_warn

_CHILD_ENDED = getattr(signal, "SIGCHLD", None)


class Terminated(SystemExit):
    """The process was asked to end by a signal; its exit code is 128 plus the signal's number, as shells expect."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(128 + number)

    def __str__(self) -> str:
        return f"ended by {self.signal.name}"


class SignalWatch:
    """Between enter and exit, SIGINT and SIGTERM only leave a note, which the loop reads after each batch.

    A second Ctrl-C interrupts at once. A handler that the user installed is called as well; a signal that the process
    ignores stays ignored. Outside of the main thread nothing is changed. A note that nobody read is raised at the exit:
    a signal is never lost.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        """The signal that came, if one did."""
        self._previous: dict[int, Any] = {}
        self._process = os.getpid()

    def __enter__(self) -> SignalWatch:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not installed from Python, which cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous = {}
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raise what a noted signal stands for."""
        if self.received is not None:
            raise _ending(self.received)

    def instead_of(self, error: BaseException) -> BaseException:
        """Return what ends the run: the signal, where the error came after one, as a consequence or by accident.

        A signal often reaches the workers of a loader, too, which die of it while a batch is still waited for.
        """
        if self.received is None or not isinstance(error, Exception):
            return error
        name = signal.Signals(self.received).name
        rank_zero_warn(f"After {name}, while the batch was to be finished, came {type(error).__name__}: {error}")
        return _ending(self.received)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            _in_child(number)
            return
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
        _tell(number)
        previous = self._previous.get(number)
        if callable(previous) and previous is not signal.default_int_handler:
            previous(number, frame)
        if _CHILD_ENDED is not None and _CHILD_ENDED not in self._previous:
            # A loader's workers often get the same signal and die. torch would raise that amid the batch.
            self._previous[_CHILD_ENDED] = signal.signal(_CHILD_ENDED, signal.SIG_DFL)


def _ending(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)


def _in_child(number: int) -> None:
    """Let SIGTERM end a forked process, such as a loader's worker; after Ctrl-C its parent may still need it."""
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _tell(number: int) -> None:
    """Tell a user at the terminal, at once: the batch may take long."""
    if get_rank() == 0 and sys.stderr is not None:
        text = f"{signal.Signals(number).name} received: the run ends after this batch. Ctrl-C ends it at once.\n"
        with suppress(RuntimeError, OSError):  # it came while just this stream was written to, or nobody reads it
            sys.stderr.write(text)
            sys.stderr.flush()
