"""Signs of life: each rank tells where it is, so that others can tell a slow rank from one that waits for ever."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from torch.distributed import Store  # type: ignore[attr-defined]

from fulmen_distributed._sites import Site, fingerprint, frame_of, may_wait_for_others

BEAT_SECONDS = 0.5
PATIENCE_SECONDS = 5.0
"""How long all ranks may wait at once before that counts as for ever."""
SILENCE_SECONDS = 8.0
"""After how long without a sign of life a rank counts as gone: a library may keep Python from running meanwhile."""
_END_SECONDS = 5.0
_LONGEST_SECONDS = 2.0
"""Between two looks at the clock, of which each beat takes one, no more has passed for a process that runs."""
_BUSY_SHARE = 0.2
"""Who uses more of a processor than that is computing, not waiting."""


class State(str, Enum):
    """What a rank is doing."""

    RUNNING = "running"
    LEFT = "left"
    FAILED = "failed"


@dataclass(frozen=True)
class Beat:
    """One sign of life."""

    number: int
    state: State
    where: str
    doing: str = ""
    """The operation that it was at last."""
    waits: float = 0.0
    """Seconds for which it has been waiting for others, as far as can be told; 0: it works."""

    def line(self, rank: int, silent: float) -> str:
        """Return it as a line of a report."""
        quiet = f", no sign of life for {silent:.0f} s" if silent >= SILENCE_SECONDS else ""
        at = f" ({self.doing})" if self.doing else ""
        how = {State.RUNNING: "is at", State.LEFT: "has left, last at", State.FAILED: "failed at"}[self.state]
        return f"  rank {rank} {how} {self.where}{at}{quiet}"


class LifeClock:
    """Seconds for which this process has run: they stand still while it is stopped, or its machine sleeps.

    Otherwise all ranks, when they go on, would seem to have been silent or to have waited all that time.
    """

    def __init__(self, time: Callable[[], float] = time.monotonic) -> None:
        self._time = time
        self._read_at = time()
        self._seconds = 0.0
        self._reading = threading.Lock()

    def now(self) -> float:
        """Return them. Time between two calls counts up to two seconds."""
        with self._reading:
            now = self._time()
            self._seconds += min(now - self._read_at, _LONGEST_SECONDS)
            self._read_at = now
            return self._seconds


class Heart:
    """Tells the others every half second where this rank's thread is, and what they told."""

    def __init__(self, store: Store, rank: int, size: int, clock: LifeClock | None = None) -> None:
        self._store = store
        self.clock = clock or LifeClock()
        self.rank = rank
        self._others = [other for other in range(size) if other != rank]
        self._thread = threading.get_ident()
        self._number = 0
        self._marks: dict[int, tuple[Beat, float]] = {}
        self._stack: tuple[tuple[int, int], ...] = ()
        self._since = self._looked = self.clock.now()
        self._cpu = time.process_time()
        self._over = threading.Event()
        self._heart: threading.Thread | None = None
        self.doing = ""
        self.agreeing_since: float | None = None
        """Since when, on the clock, this rank has been waiting for the others to come to the same operation."""

    def start(self, after_each: Callable[[], None]) -> None:
        """Beat from now on; `after_each` runs in the thread of the heart."""

        def run() -> None:
            while not self._over.wait(BEAT_SECONDS):
                try:
                    self.beat()
                    after_each()
                except RuntimeError:  # the store went away with the process that kept it
                    return

        self.beat()
        self._heart = threading.Thread(target=run, name="fulmen-guard", daemon=True)
        self._heart.start()

    def stop(self, state: State, where: str) -> None:
        """Tell the others that this is the end."""
        if not self._over.is_set():
            self._over.set()
            self._tell(Beat(self._next(), state, where, self.doing))
            if self._heart is not None and self._heart is not threading.current_thread():
                self._heart.join(_END_SECONDS)  # Python aborts where it ends while a thread is within torch's store

    def beat(self) -> None:
        """Tell the others where this rank is."""
        self._tell(self.own())

    def own(self) -> Beat:
        """Return this rank's own sign of life."""
        frame = frame_of(self._thread)
        now, cpu = self.clock.now(), time.process_time()
        stack = fingerprint(frame)
        busy = cpu - self._cpu > _BUSY_SHARE * max(now - self._looked, BEAT_SECONDS)
        if stack != self._stack or busy or not may_wait_for_others(frame):
            self._since = now
        self._stack, self._looked, self._cpu = stack, now, cpu
        waits = now - (self._since if self.agreeing_since is None else self.agreeing_since)
        return Beat(self._next(), State.RUNNING, str(Site.of(frame)), self.doing, waits)

    def others(self) -> dict[int, tuple[Beat, float]]:
        """Return the others' newest signs of life, and for how many seconds there was no newer one."""
        now = self.clock.now()
        for other in self._others:
            key = f"beat/{other}"
            beat = _read(self._store.get(key)) if self._store.check([key]) else Beat(0, State.RUNNING, "its start")
            known = self._marks.get(other)
            if known is None or known[0].number != beat.number:
                self._marks[other] = (beat, now)
        return {other: (beat, now - at) for other, (beat, at) in self._marks.items()}

    def _tell(self, beat: Beat) -> None:
        self._store.set(f"beat/{self.rank}", json.dumps(asdict(beat)))

    def _next(self) -> int:
        self._number += 1
        return self._number


def _read(text: bytes) -> Beat:
    values: dict[str, Any] = json.loads(text)
    return Beat(**{**values, "state": State(values["state"])})
