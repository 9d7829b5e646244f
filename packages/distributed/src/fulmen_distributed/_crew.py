"""The processes that a launcher started: watching them, ending them, finding out who failed first."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from fulmen_distributed._process_group import abandon
from fulmen_distributed._reports import FailureReport, Reports, is_follow_up
from fulmen_interfaces import RankError

_POLL_SECONDS = 0.1
_FOR_REPORTS_SECONDS = 3.0
"""How long others have to tell their own error, when one only says that somebody is gone."""
_TO_END_SECONDS = 3.0
"""How long a process has between being asked to end and being killed."""


@dataclass(frozen=True)
class Worker:
    """A process that was started."""

    rank: int
    exit_code: Callable[[], int | None]
    """None while it runs; below zero: the signal that killed it."""
    terminate: Callable[[], None]
    kill: Callable[[], None]


class Crew:
    """The workers of one launch."""

    def __init__(self, workers: Sequence[Worker], reports: Reports) -> None:
        self._workers = list(workers)
        self.reports = reports
        self._asked_to_end = False

    def add(self, worker: Worker) -> None:
        """Count one more among them."""
        self._workers.append(worker)

    @property
    def running(self) -> bool:
        """Whether any of them runs."""
        return any(worker.exit_code() is None for worker in self._workers)

    @property
    def failed(self) -> bool:
        """Whether any of them ended with another code than 0, or before its program did."""
        return any(self._has_failed(worker) for worker in self._workers)

    def wait(self, seconds: float | None = None, *, stop_at_failure: bool = False) -> None:
        """Return when all have ended, or one has failed where that is asked for, or the time is over."""
        end = None if seconds is None else time.monotonic() + seconds
        while self.running and not (stop_at_failure and self.failed):
            if end is not None and time.monotonic() > end:
                return
            time.sleep(_POLL_SECONDS)

    def end(self) -> None:
        """End all that still run: ask first, then kill."""
        self._each_running(lambda worker: worker.terminate())
        self.wait(_TO_END_SECONDS)
        self._each_running(lambda worker: worker.kill())
        self.wait()

    def terminate(self) -> None:
        """Ask all that run to end, and return at once."""
        self._asked_to_end = True
        self._each_running(lambda worker: worker.terminate())

    def forget(self) -> None:
        """Remove what was reported."""
        self.reports.remove()

    def cause_of(self, error: BaseException | None = None) -> BaseException | None:
        """Return what made the run fail: a worker's error, or None where `error`, the caller's own, came first.

        Where an error only says that another process is gone, that one has a few seconds to say why.
        """
        if error is not None and not is_follow_up(error):
            return None
        end = time.monotonic() + _FOR_REPORTS_SECONDS
        while self.running and time.monotonic() < end and not (self._first_cause() or self._ended_silently()):
            time.sleep(_POLL_SECONDS)
        report = self._first_cause()
        if report is not None:
            return report.error()
        killed = self._ended_silently()
        if killed is not None:
            return killed
        others = self.reports.failures()
        return others[0].error() if others and error is None else None

    def _first_cause(self) -> FailureReport | None:
        return next((one for one in self.reports.failures() if not one.is_follow_up), None)

    def _ended_silently(self) -> BaseException | None:
        reported = {report.rank for report in self.reports.failures()}
        for worker in self._workers:
            if worker.rank not in reported and self._has_failed(worker):
                return self._silent_end(worker.rank, worker.exit_code() or 0)
        return None

    def _silent_end(self, rank: int, code: int) -> BaseException:
        if code in (128 + signal.SIGINT, -signal.SIGINT):
            return KeyboardInterrupt()
        if code == 128 + signal.SIGTERM or (self._asked_to_end and code == -signal.SIGTERM):
            return SystemExit(128 + signal.SIGTERM)
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return RankError(
            f"Rank {rank} {how} amid the run, without an error of its own, so the run cannot go on. Look "
            "at the system's log (a process that needs more memory than there is gets killed) and at what it printed."
        )

    def _has_failed(self, worker: Worker) -> bool:
        code = worker.exit_code()
        return bool(code) or (code == 0 and not self.reports.has_ended(worker.rank))

    def _each_running(self, action: Callable[[Worker], None]) -> None:
        for worker in self._workers:
            if worker.exit_code() is None:
                action(worker)


def end_process(code: int) -> None:
    """End this process at once: its connections close, and the others notice."""
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def end_as_asked(ending: SystemExit) -> None:
    """End this process with the code of a `sys.exit`, or with its message, as Python does."""
    code = 0 if ending.code is None else ending.code
    if not isinstance(code, int):
        print(code, file=sys.stderr)  # noqa: T201
        code = 1
    end_process(code)


def fail(reports: Reports, rank: int, error: BaseException, *, hide: tuple[str, ...]) -> None:
    """End this process, and leave behind why; frames of the files in `hide` are not worth telling."""
    try:
        reports.write_failure(rank, error, hide=hide)
        abandon(error)
    finally:
        end_process(1)
