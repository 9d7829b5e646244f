"""The loggers of a Fabric: they finish with the process, for nothing else says when the user's loop is over."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Mapping, Sequence

from fulmen_core.logging import LoggerGroup, Value
from fulmen_interfaces import Logger, RunStatus


class FabricLoggers:
    """Sends to all loggers, on rank zero only."""

    def __init__(self, loggers: Sequence[Logger], *, is_global_zero: bool) -> None:
        self._group = LoggerGroup(loggers, is_global_zero=is_global_zero)
        self._finish = weakref.finalize(self, _finish, self._group)

    def log(self, metrics: Mapping[str, Value], step: int | None) -> None:
        """Send values as numbers and let them be written."""
        if self._group:
            self._group.log_metrics(metrics, step, None)
            self._group.save()

    def finish(self) -> None:
        """Let loggers finish; happens by itself when the process ends, or nobody can log here any more."""
        self._finish()


def _finish(group: LoggerGroup) -> None:
    failed = sys.exc_info()[0] is not None or getattr(sys, "last_value", None) is not None
    group.finalize(RunStatus.FAILED if failed else RunStatus.FINISHED)
