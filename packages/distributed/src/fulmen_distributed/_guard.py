"""Finding out that ranks do different things: before each operation they tell each other what it is, and where."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from torch.distributed import Store  # type: ignore[attr-defined]

from fulmen_distributed._beats import PATIENCE_SECONDS, SILENCE_SECONDS, Beat, Heart, State
from fulmen_distributed._reports import Reports
from fulmen_distributed._sites import Site
from fulmen_distributed._variables import REPORTS
from fulmen_interfaces import DivergenceError, RankError

VARIABLE = "FULMEN_DEBUG_COLLECTIVES"
_WORDS_FOR_NO = ("", "0", "false", "no", "off")
_WORDS_FOR_YES = ("1", "true", "yes", "on")


def is_wanted() -> bool:
    """Return whether the environment variable asks for the guard."""
    return os.environ.get(VARIABLE, "").lower() not in _WORDS_FOR_NO


@dataclass(frozen=True)
class Entry:
    """One rank's part in one operation."""

    number: int
    operation: str
    detail: str
    where: str
    key: str
    """What must be the same on all ranks."""
    note: str = ""
    """More about the place."""

    def __str__(self) -> str:
        return f"operation {self.number}: {self.operation} {self.detail}".rstrip() + (self.note and f", {self.note}")


class Guard:
    """Compares what the ranks are about to do, and ends the job when they no longer do the same."""

    def __init__(self, store: Store, *, rank: int, size: int, timeout: timedelta) -> None:
        self._store = store
        self._timeout = timeout
        self._counts: Counter[tuple[int, ...]] = Counter()
        self._everybody = tuple(range(size))
        self._heart = Heart(store, rank, size)
        self._ledger = _ledger(rank)
        self._last = "its start"
        self._heart.start(self._watch)

    def agree(self, operation: str, detail: str = "", *, ranks: tuple[int, ...] | None = None, note: str = "") -> None:
        """Return when all `ranks` (None: everybody) have come to this operation.

        Raises DivergenceError where they have come to different ones, or wait elsewhere.
        """
        ranks = self._everybody if ranks is None else ranks
        number = self._counts[ranks]
        self._counts[ranks] += 1
        site = Site.of(sys._getframe(1))
        entry = Entry(number, operation, detail, str(site), f"{operation} {detail} {site.key}", note)
        self._heart.doing, self._heart.agreeing_since = str(entry), self._heart.clock.now()
        self._last = entry.where
        try:
            self._compare(entry, self._meet(entry, ranks))
        finally:
            self._heart.agreeing_since = None
        if self._ledger is not None:
            self._ledger.write(json.dumps(asdict(entry)) + "\n")

    def leave(self, error: BaseException | None = None, traceback: TracebackType | None = None) -> None:
        """Tell the others that this rank has come to its end, where there was one by which error."""
        if error is None:
            self._heart.stop(State.LEFT, self._last)
            return
        site = Site.of_error(traceback or error.__traceback__)
        self._heart.stop(State.FAILED, f"{site} with {type(error).__name__}: {error}".partition("\n")[0])

    def report(self) -> str:
        """Return where each rank is, a line for each."""
        return _table({**self._heart.others(), self._heart.rank: (self._heart.own(), 0.0)})

    def _meet(self, entry: Entry, ranks: tuple[int, ...]) -> dict[int, Entry]:
        """Publish an entry; return everybody's."""
        place = "-".join(map(str, ranks)) if ranks != self._everybody else "all"
        keys = {rank: f"{place}/{entry.number}/{rank}" for rank in ranks}
        self._store.set(keys[self._heart.rank], json.dumps(asdict(entry)))
        begun, pause, next_look = self._heart.clock.now(), 0.0002, 0.3
        while not self._store.check(list(keys.values())):
            waited = self._heart.clock.now() - begun
            if waited > next_look:
                next_look = waited + 0.5
                missing = [rank for rank, key in keys.items() if not self._store.check([key])]
                self._look_for(missing, entry, waited)
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        if entry.number > 1:  # all have come here, so all have read what was two operations ago
            self._store.delete_key(f"{place}/{entry.number - 2}/{self._heart.rank}")
        return {rank: Entry(**json.loads(self._store.get(key))) for rank, key in keys.items()}

    def _compare(self, mine: Entry, entries: dict[int, Entry]) -> None:
        if all(entry.key == mine.key for entry in entries.values()):
            return
        lines = [f"  rank {rank} is at {entry.where} ({entry})" for rank, entry in sorted(entries.items())]
        raise DivergenceError(_text("The ranks came to different operations:", "\n".join(lines)))

    def _look_for(self, missing: list[int], entry: Entry, waited: float) -> None:
        """Raise where those that did not come will never come."""
        if not missing:
            return
        beats = self._heart.others()
        found = {rank: beats[rank] for rank in missing}
        if any(beat.state is State.FAILED or silent > SILENCE_SECONDS for beat, silent in found.values()):
            print(f"Where each rank was:\n{self.report()}", file=sys.stderr, flush=True)  # noqa: T201
            raise RankError(f"{_names(missing)} failed or went away while others were at {entry}.")
        if waited > PATIENCE_SECONDS and all(_is_lost(beat, silent) for beat, silent in found.values()):
            self._diverged(f"{_names(missing)} will not come to {entry}:")
        if any(beat.state is State.LEFT for beat, _ in found.values()):
            self._diverged(f"{_names(missing)} came to the end without {entry}:")
        if waited > self._timeout.total_seconds():
            self._diverged(f"{_names(missing)} did not come to {entry} within {waited:.0f} s:")

    def _diverged(self, headline: str) -> NoReturn:
        raise DivergenceError(_text(headline, self.report()))

    def _watch(self) -> None:
        """End this process where all wait for each other in operations that do not pass through here."""
        if self._heart.agreeing_since is not None:
            return
        mine, beats = self._heart.own(), self._heart.others()
        if mine.waits < PATIENCE_SECONDS or not all(_is_lost(beat, silent) for beat, silent in beats.values()):
            return
        if any(beat.state is State.FAILED for beat, _ in beats.values()):
            return  # this rank will notice, and tell what the failed one said
        table = _table({**beats, self._heart.rank: (mine, 0.0)})
        error = DivergenceError(_text("All ranks wait, each for others:", table))
        print(f"DivergenceError: {error}", file=sys.stderr, flush=True)  # noqa: T201
        if REPORTS in os.environ:
            Reports(os.environ[REPORTS]).write_failure(self._heart.rank, error)
        os._exit(1)


def _is_lost(beat: Beat, silent: float) -> bool:
    """Return whether a rank will not come by itself."""
    return beat.state is not State.RUNNING or beat.waits >= PATIENCE_SECONDS or silent >= SILENCE_SECONDS


def _table(beats: dict[int, tuple[Beat, float]]) -> str:
    return "\n".join(beat.line(rank, silent) for rank, (beat, silent) in sorted(beats.items()))


def _text(headline: str, table: str) -> str:
    return (
        f"{headline}\n{table}\nEvery rank must call the same hooks and collectives in the same order: log, validate, "
        "save and gather on all ranks or on none, and give all of them as many batches."
    )


def _names(ranks: list[int]) -> str:
    return f"Rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"


def _ledger(rank: int) -> Any:
    """Return the file in which this rank's operations are listed, where the variable names a folder."""
    asked = os.environ.get(VARIABLE, "")
    if asked.lower() in _WORDS_FOR_YES:
        return None
    folder = Path(asked)
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / f"rank-{rank}.jsonl").open("w", buffering=1)
