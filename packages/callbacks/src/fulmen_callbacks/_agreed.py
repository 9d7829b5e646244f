"""Decisions on which all processes agree."""

from __future__ import annotations

import time

import torch

from fulmen_interfaces import ReduceOp, TrainerView

_LOOK_EVERY_SECONDS = 1.0
_LOOK_EVERY_SHARE = 0.01


def any_rank(trainer: TrainerView, decision: bool) -> bool:
    """Return whether any process decided so. To be called on every rank."""
    if trainer.world.size == 1:
        return decision
    flag = torch.tensor(float(decision), device=trainer.root_device)
    return bool(trainer.collectives.all_reduce(flag, ReduceOp.MAX) > 0)


class AgreedInterval:
    """Tells every process in the same batch that so many seconds have passed, by the clock of rank zero.

    With one process it looks at the clock whenever it is asked. With several, asking costs a broadcast, so rank zero
    also says after how many batches to ask again: in about a second, or a hundredth of the interval if that is longer.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._since = self._asked = time.monotonic()
        self._stride = 1
        self._countdown = 1

    def restart(self) -> None:
        """Count from now."""
        self._since = self._asked = time.monotonic()
        self._stride = self._countdown = 1

    def elapsed(self) -> float:
        """Return the seconds since the start, by this process' own clock."""
        return time.monotonic() - self._since

    def has_passed(self, trainer: TrainerView) -> bool:
        """Return whether the interval is over. To be asked once per batch, on every rank."""
        if trainer.world.size == 1:
            return self.elapsed() >= self.seconds
        self._countdown -= 1
        if self._countdown > 0:
            return False
        passed, self._stride = trainer.collectives.broadcast((self.elapsed() >= self.seconds, self._next_stride()))
        self._countdown = self._stride
        return passed

    def _next_stride(self) -> int:
        now = time.monotonic()
        per_batch = (now - self._asked) / self._stride
        self._asked = now
        wanted = max(_LOOK_EVERY_SECONDS, _LOOK_EVERY_SHARE * self.seconds)
        remaining = max(self.seconds - self.elapsed(), 0.0)
        return max(1, int(min(wanted, remaining) / max(per_batch, 1e-6)))
