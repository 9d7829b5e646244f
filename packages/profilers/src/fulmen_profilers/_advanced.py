"""The advanced profiler: which functions an action spends its time in."""

from __future__ import annotations

import io
import os
import pstats
import sys
from cProfile import Profile
from typing import Any

from fulmen_interfaces import PluginError
from fulmen_profilers._base import SpanProfiler, not_running
from fulmen_profilers._files import writing

_OURS = os.path.dirname(__file__)


class AdvancedProfiler(SpanProfiler):
    """Measures every function with cProfile, for each action apart.

    What happens in an action inside another is listed there alone. Measuring makes functions slower, small ones most:
    compare shares, not times. A run fails with PluginError where another tool profiles the process already.

    Args:
        dirpath: folder of the files; without it the run's `log_dir`.
        filename: middle part of their names, `fit-<filename>-0.txt`. Without both the report is printed.
        line_count_restriction: functions listed for each action: so many (int), or that share of them (float).
        dump_stats: also write a file for each action, `fit-<filename>-0-<action>.prof`, which `pstats.Stats(...)` and
            viewers such as snakeviz read.
        all_ranks: measure and report on every rank, not on rank zero alone.
    """

    default_filename = "advanced"

    def __init__(
        self,
        dirpath: str | os.PathLike[str] | None = None,
        filename: str | None = None,
        line_count_restriction: float = 1.0,
        dump_stats: bool = False,
        *,
        all_ranks: bool = False,
    ) -> None:
        super().__init__(dirpath, filename, all_ranks=all_ranks)
        self.line_count_restriction = line_count_restriction
        self.dump_stats = dump_stats
        self._profiles: dict[str, Profile] = {}
        self._calls: dict[str, int] = {}
        self._stack: list[str] = []

    def summary(self) -> str:
        measured = self._measured()
        if not measured:
            return ""
        rank = f", rank {self._rank}" if self._rank else ""
        title = f"Where the time went in {self._stage or 'this process'}{rank}, by function"
        return "\n".join([title, *(self._section(action, stats) for action, stats in measured)])

    def describe(self) -> None:
        super().describe()
        if self.dump_stats and self._speaks:
            for action, stats in self._measured():
                with writing(self.path(".prof", action)) as local:
                    stats.dump_stats(local)

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what was measured: profiles stay in the process that they belong to."""
        return {**self.__dict__, "_profiles": {}, "_calls": {}, "_stack": []}

    def _start(self, action: str) -> None:
        if self._stack:
            self._profiles[self._stack[-1]].disable()
        self._stack.append(action)
        self._calls[action] = self._calls.get(action, 0) + 1
        self._resume()

    def _stop(self, action: str) -> None:
        if action not in self._stack:
            raise not_running(action, self._stack)
        self._profiles[self._stack[-1]].disable()
        del self._stack[len(self._stack) - 1 - self._stack[::-1].index(action)]
        self._resume()

    def _resume(self) -> None:
        """Measure the innermost action that is open."""
        if self._stack:
            self._profiles.setdefault(self._stack[-1], Profile()).enable()

    def _begin(self) -> None:
        if _is_taken():
            raise PluginError(
                "AdvancedProfiler was to measure this run, but another tool profiles this process already, and Python "
                "allows one. Run without the other, or use SimpleProfiler."
            )
        self._profiles, self._calls, self._stack = {}, {}, []

    def _end(self) -> None:
        if self._stack:
            self._profiles[self._stack[-1]].disable()
            self._stack = []

    def _measured(self) -> list[tuple[str, pstats.Stats]]:
        """Return what is known of each action, the one that took longest first."""
        found = []
        for action, profile in self._profiles.items():
            profile.create_stats()
            if profile.stats:
                found.append((action, pstats.Stats(profile, stream=io.StringIO())))
        self._resume()  # asking for the numbers stopped it
        return sorted(found, key=_seconds, reverse=True)

    def _section(self, action: str, stats: pstats.Stats) -> str:
        stream = io.StringIO()
        stats.stream = stream  # type: ignore[attr-defined]  # missing in the stubs
        _leave_ourselves_out(stats)
        stats.sort_stats("cumulative").print_stats(self.line_count_restriction)
        calls = self._calls[action]
        head = f"{action}: {calls} call{'s' if calls != 1 else ''}"
        return f"\n{head}\n{'-' * len(head)}\n{stream.getvalue().strip()}"


def _seconds(measured: tuple[str, pstats.Stats]) -> float:
    seconds: float = measured[1].total_tt  # type: ignore[attr-defined]  # as above
    return seconds


def _leave_ourselves_out(stats: pstats.Stats) -> None:
    """Take the functions of profiling itself out of the list."""
    table: dict[tuple[str, int, str], Any] = stats.stats  # type: ignore[attr-defined]  # as above
    for key in [key for key in table if key[0].startswith(_OURS) or "_lsprof" in key[2]]:
        del table[key]
    stats.total_tt = stats.total_calls = stats.prim_calls = 0  # type: ignore[attr-defined]  # as above
    stats.get_top_level_stats()  # adds them up again


def _is_taken() -> bool:
    """Return whether somebody else's profiler is active here."""
    if sys.getprofile() is not None:
        return True
    probe = Profile()
    try:
        probe.enable()
    except ValueError:  # from Python 3.12 on
        return True
    probe.disable()
    return False
