"""Ctrl-C and SIGTERM: the running batch is finished, then the run ends in order."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from fulmen_interfaces import rank_zero_info


class Terminated(SystemExit):
    """The process was asked to end by a signal; its exit code is 128 plus the signal's number, as shells expect."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(128 + number)

    def __str__(self) -> str:
        return f"ended by {self.signal.name}"


class SignalWatch:
    """Between enter and exit, SIGINT and SIGTERM only leave a note, which the loop reads after each batch.

    A second Ctrl-C interrupts at once. Outside of the main thread nothing is changed.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        """The signal that came, if one did."""
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> SignalWatch:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def check(self) -> None:
        """Raise what a noted signal stands for."""
        if self.received is None:
            return
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        raise Terminated(self.received)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
        rank_zero_info(f"{signal.Signals(number).name} received: the run ends after this batch.")
