"""What our profilers have in common: spans, files, and which ranks speak."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

from fulmen_interfaces import PassThroughProfiler
from fulmen_profilers._files import append, file_name

UNMEASURED = nullcontext()
"""A span that is not measured."""


class Profiler(ABC):
    """Base of profilers that are told when actions start and stop: override `start`, `stop` and `summary`.

    Args:
        dirpath: folder of the report's file; without it the run's `log_dir`.
        filename: middle part of its name: `fit-<filename>-0.txt`, with the stage before it and the rank behind.

    Without both the report is printed. A later run adds its report to the file of an earlier one.
    """

    default_filename: str = "profile"
    """What files are called where the user gave no name."""

    def __init__(self, dirpath: str | os.PathLike[str] | None = None, filename: str | None = None) -> None:
        self.dirpath = None if dirpath is None else os.fspath(dirpath)
        self.filename = filename
        self._speaks = True
        self._stage = ""
        self._rank = 0
        self._log_dir: str | None = None
        self._spans: dict[str, _Span] = {}

    def setup(self, stage: str, rank: int = 0, log_dir: str | None = None) -> None:
        """Begin a run."""
        self._stage, self._rank, self._log_dir = stage, rank, log_dir
        self._speaks = rank == 0

    def profile(self, action: str) -> AbstractContextManager[None]:
        """Return a context that measures one occurrence of the action."""
        span = self._spans.get(action)
        if span is None:
            span = self._spans[action] = _Span(self, action)
        return span

    @abstractmethod
    def start(self, action: str) -> None:
        """Begin to measure one occurrence of the action; `profile` is safer where errors may come between."""

    @abstractmethod
    def stop(self, action: str) -> None:
        """End the newest occurrence of the action that was started."""

    def step(self) -> None:
        """Mark the end of one batch."""

    def summary(self) -> str:
        """Return the report on what was measured so far, or in the last run; empty where that is nothing."""
        return ""

    def describe(self) -> None:
        """Print the report, or write it to its file."""
        text = self.summary() if self._speaks else ""
        if not text:
            return
        if self.filename is None and self.dirpath is None:
            print(text, flush=True)  # noqa: T201
        else:
            append(self.path(".txt"), f"{text}\n")

    def teardown(self, stage: str) -> None:
        """End the run, also after errors."""

    def path(self, extension: str, *parts: str) -> str:
        """Return where a file of this run goes."""
        folder = self.dirpath or self._log_dir or "."
        named = [part for part in (self._stage, self.filename or self.default_filename) if part]
        return os.path.join(folder, file_name(*named, self._rank, *parts, extension=extension))


Profiler.register(PassThroughProfiler)  # it is asked for by isinstance


class SpanProfiler(Profiler):
    """Measures spans during runs, on rank zero or with `all_ranks` on every rank."""

    def __init__(
        self, dirpath: str | os.PathLike[str] | None = None, filename: str | None = None, *, all_ranks: bool = False
    ) -> None:
        super().__init__(dirpath, filename)
        self.all_ranks = all_ranks
        self._measures = True

    def setup(self, stage: str, rank: int = 0, log_dir: str | None = None) -> None:
        """Forget what was measured before and begin to measure."""
        super().setup(stage, rank, log_dir)
        self._measures = self._speaks = rank == 0 or self.all_ranks
        if self._measures:
            self._begin()

    def profile(self, action: str) -> AbstractContextManager[None]:
        """Return a context that measures one occurrence of the action. After a run it measures nothing."""
        return super().profile(action) if self._measures else UNMEASURED

    def start(self, action: str) -> None:
        if self._measures:
            self._start(action)

    def stop(self, action: str) -> None:
        """End the newest occurrence of the action that was started. ValueError: there is none."""
        if self._measures:
            self._stop(action)

    def teardown(self, stage: str) -> None:
        """Measure no more. The report stays until the next run."""
        if self._measures:
            self._measures = False
            self._end()

    @abstractmethod
    def _start(self, action: str) -> None: ...

    @abstractmethod
    def _stop(self, action: str) -> None: ...

    @abstractmethod
    def _begin(self) -> None:
        """Begin a run."""

    @abstractmethod
    def _end(self) -> None:
        """End it, with errors or without."""


def not_running(action: str, running: Iterable[str]) -> ValueError:
    """Return the error for an action that is stopped before it was started."""
    names = ", ".join(dict.fromkeys(map(repr, running))) or "none"
    return ValueError(
        f"The action {action!r} was to be stopped, but it is not running. Running now: {names}. "
        "Call `start` first, or write `with profiler.profile(...)`."
    )


class _Span:
    """One action as a context. It holds no state, so that one object serves all occurrences, nested ones too."""

    __slots__ = ("_action", "_profiler")

    def __init__(self, profiler: Profiler, action: str) -> None:
        self._profiler = profiler
        self._action = action

    def __enter__(self) -> None:
        self._profiler.start(self._action)

    def __exit__(self, *error: object) -> None:
        self._profiler.stop(self._action)
