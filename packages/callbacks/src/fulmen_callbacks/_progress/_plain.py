"""Progress as lines of text, where the output is no terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

from fulmen_callbacks._progress._base import write_line
from fulmen_callbacks._progress._painter import Bar, Metrics, clock, metric_text, speed

_FREE_LINES = 4
_SECONDS_PER_LINE = 60.0


class PlainPainter:
    """Few lines, each whole: the first epochs, about one a minute, and the end of each stage. No carriage returns.

    A log file of a long run of short epochs stays short in this way; all values are with the loggers.
    """

    def __init__(self) -> None:
        self._lines = float(_FREE_LINES)
        self._refilled = time.monotonic()
        self._description: dict[Bar, str] = {}
        self._total: dict[Bar, float | None] = {}
        self._began: dict[Bar, float] = {}
        self._before: dict[Bar, int] = {}
        self._spoke = time.monotonic()
        self._held_back: str | None = None

    def open(self, bar: Bar, description: str, total: float | None, done: int = 0) -> None:
        self._description[bar], self._total[bar], self._before[bar] = description, total, done
        self._began[bar] = time.monotonic()

    def update(self, bar: Bar, done: int, metrics: Metrics) -> None:
        now = time.monotonic()
        if bar is not Bar.SANITY and now - self._spoke >= _SECONDS_PER_LINE and self._may_speak(reserve=1):
            self._say(self._line(bar, done, metrics, finished=False))

    def close(self, bar: Bar, done: int, metrics: Metrics, *, keep: bool) -> None:
        if bar is Bar.SANITY or not keep:
            return
        line = self._line(bar, done, metrics, finished=True)
        if bar is not Bar.TRAIN or self._may_speak():
            self._say(line)
        else:
            self._held_back = line

    def print(self, *args: Any, **kwargs: Any) -> None:
        write_line(*args, **kwargs)

    def stop(self) -> None:
        if self._held_back is not None:
            self._say(self._held_back)

    def _may_speak(self, reserve: int = 0) -> bool:
        """Whether there is a line left, beyond those in reserve: some to begin with, and a new one every minute."""
        now = time.monotonic()
        self._lines = min(self._lines + (now - self._refilled) / _SECONDS_PER_LINE, _FREE_LINES)
        self._refilled = now
        if self._lines < 1 + reserve:
            return False
        self._lines -= 1
        return True

    def _say(self, line: str) -> None:
        self._held_back = None
        self._spoke = time.monotonic()
        write_line(line, file=sys.stdout, flush=True)

    def _line(self, bar: Bar, done: int, metrics: Metrics, *, finished: bool) -> str:
        total, seconds = self._total[bar], time.monotonic() - self._began[bar]
        rate = (done - self._before[bar]) / seconds if seconds > 0 else 0.0
        share = "" if finished or total is None else f"/{total:.0f}"
        parts = [f"{self._description[bar]}: {done}{share} {'batch' if done == 1 and not share else 'batches'}"]
        parts.append(f"{clock(seconds)} elapsed")
        if not finished and total is not None and rate > 0:
            parts.append(f"{clock((total - done) / rate)} to go")
        parts.append(speed(rate))
        text = ", ".join(parts)
        shown = ", ".join(metric_text(name, value, ".4g") for name, value in metrics.items())
        return f"{text} | {shown}" if shown else text
