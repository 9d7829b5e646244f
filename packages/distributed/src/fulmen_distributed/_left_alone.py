"""Finding out that this process waits for others that will never come, because they have ended in order."""

from __future__ import annotations

import threading

from fulmen_distributed._sites import fingerprint, frame_of, waits_for_others
from fulmen_interfaces import RankError


def is_left_alone(over: threading.Event, *, seconds: float) -> bool:
    """Return True as soon as the main thread has waited for others at one place for so long; False where it is over."""
    last, since = None, 0.0
    while not over.wait(1.0):
        frame = frame_of(threading.main_thread().ident or 0)
        now = fingerprint(frame) if waits_for_others(frame) else None
        since = since + 1.0 if now is not None and now == last else 0.0
        last = now
        if since >= seconds:
            return True
    return False


def left_alone(rank: int, ended: str) -> RankError:
    """Return the error of a rank that is left alone; `ended` says by whom."""
    return RankError(
        f"Rank {rank} waits for the others, but {ended} come to the end of the program. Every rank must call the same "
        "hooks and collectives in the same order; FULMEN_DEBUG_COLLECTIVES=1 shows where each rank was."
    )
