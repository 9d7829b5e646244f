"""The simple profiler: a table of where the time of a run goes."""

from __future__ import annotations

import os

from fulmen_profilers._base import SpanProfiler
from fulmen_profilers._ledger import Ledger
from fulmen_profilers._report import report


class SimpleProfiler(SpanProfiler):
    """Measures how long each action takes, and how often it happens.

    The time of an action inside another counts towards both totals, but is the inner one's own: own times, and what
    lies between the actions, add up to the run. Times are those of the process: work that a device does later shows in
    the action that waits for it.

    Args:
        dirpath: folder of the report's file; without it the run's `log_dir`.
        filename: middle part of its name, `fit-<filename>-0.txt`. Without both the report is printed.
        extended: with calls, own times and shares; else means and totals only.
        all_ranks: measure and report on every rank, not on rank zero alone.
    """

    default_filename = "simple"

    def __init__(
        self,
        dirpath: str | os.PathLike[str] | None = None,
        filename: str | None = None,
        extended: bool = True,
        *,
        all_ranks: bool = False,
    ) -> None:
        super().__init__(dirpath, filename, all_ranks=all_ranks)
        self.extended = extended
        self._ledger = Ledger()

    def summary(self) -> str:
        ledger = self._ledger
        if self._measures:
            ledger.settle()
        if not ledger.entries:
            return ""
        title = f"Where the time went in {self._stage or 'this process'}"
        if self._rank:
            title += f", rank {self._rank}"
        return report(ledger, title, extended=self.extended)

    def _start(self, action: str) -> None:
        self._ledger.start(action)

    def _stop(self, action: str) -> None:
        self._ledger.stop(action)

    def _begin(self) -> None:
        self._ledger = Ledger()

    def _end(self) -> None:
        self._ledger.settle()
