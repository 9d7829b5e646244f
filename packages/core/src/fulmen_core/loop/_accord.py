"""Ending training on all ranks after the same batch, although only some of them were asked to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType

import torch

from fulmen_interfaces import Collectives, Notes, ReduceOp, SupportsNotes, World

_LOOK_EVERY_SECONDS = 0.25
_WAIT_SECONDS = 0.002
_END_SECONDS = 5.0


class StopAccord:
    """Agrees on where to stop without any communication until a rank asks for it.

    The loop passes the same points in the same order on every rank. A rank that wants to stop leaves a note; a thread
    on each rank looks for one now and then, and answers with the last point that its rank may have passed by then.
    Nobody passes a further one before all have answered. All stop at the last of these points.
    """

    def __init__(self, notes: Notes, world: World, interrupted: Callable[[], object]) -> None:
        self._notes = notes
        self._world = world
        self._interrupted = interrupted
        self._passing = 0
        self._answered = False
        self._stop_at: int | None = None
        self._answering = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fulmen-stop", daemon=True)

    def __enter__(self) -> StopAccord:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        with suppress(RuntimeError):  # the others may be gone
            self._answer()  # who asks now must not wait for this rank
        # Python aborts where it ends while a thread is within torch's store.
        self._thread.join(_END_SECONDS)

    def reached(self, asked: bool) -> bool:
        """Pass a point, and return whether to stop here; `asked` says that this rank was asked to."""
        here = self._passing
        if asked and not self._answered:
            self._notes.leave("asked", str(self._world.rank))
            self._answer()
        # First the step, then the look: whoever answers in between counts it in.
        self._passing = here + 1
        if not self._answered:
            return False
        if self._stop_at is None:
            self._answer()  # it may just be given by the other thread
            self._stop_at = max(self._wait_for(rank) for rank in range(self._world.size))
        return here >= self._stop_at

    def _answer(self) -> None:
        with self._answering:
            if self._stop_at is None and not self._notes.found(str(self._world.rank)):
                self._answered = True
                self._notes.leave(str(self._world.rank), str(self._passing))

    def look(self) -> None:
        """Answer if a rank has asked; the thread does it now and then."""
        if not self._answered and self._notes.found("asked") is not None:
            self._answer()

    def _watch(self) -> None:
        while not (self._answered or self._over.wait(_LOOK_EVERY_SECONDS)):
            try:
                self.look()
            except RuntimeError:  # the others are gone, which the run itself will notice
                return

    def _wait_for(self, rank: int) -> int:
        while (answer := self._notes.found(str(rank))) is None:
            self._interrupted()
            time.sleep(_WAIT_SECONDS)
        return int(answer)


def any_rank(collectives: Collectives, decision: bool) -> bool:
    """Return whether any rank decided so. Call it on every rank."""
    return bool(collectives.all_reduce(torch.tensor(float(decision)), ReduceOp.MAX) > 0)


def agree_on(collectives: Collectives | None) -> Callable[[bool], bool] | None:
    """Return what makes one decision of several ranks'; None with one process."""
    return None if collectives is None else partial(any_rank, collectives)


@contextmanager
def stop_accord(
    collectives: Collectives | None, world: World, interrupted: Callable[[], object]
) -> Iterator[StopAccord | None]:
    """Inside, ranks agree on where to stop; None with one process, or where ranks cannot leave each other notes."""
    notes = collectives.notes() if isinstance(collectives, SupportsNotes) else None
    if notes is None:
        yield None
        return
    with StopAccord(notes, world, interrupted) as accord:
        yield accord
