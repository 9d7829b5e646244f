"""The search for the largest batch size: which sizes are tried, and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

SizeMode = Literal["power", "binsearch"]


@dataclass(frozen=True)
class Outcome:
    """How one size went."""

    fits: bool
    most: float = float("inf")
    """The largest size that makes sense, as far as this one showed: the number of samples."""


@dataclass(frozen=True, kw_only=True)
class SizeSearch:
    """How sizes are chosen."""

    mode: SizeMode = "power"
    """`"power"` doubles while it goes; `"binsearch"` then halves what lies between the last two sizes."""
    first: int = 2
    max_trials: int = 25
    margin: float = 0.05
    """The share that is left as reserve where `"binsearch"` found the limit."""
    most: int = 8192

    def largest(self, attempt: Callable[[int], Outcome]) -> int:
        """Return the largest size found; 0 where none fits."""
        good, bad, most = 0, None, float(self.most)
        size: int | None = min(self.first, self.most)
        for _ in range(self.max_trials):
            if size is None:
                break
            outcome = attempt(size)
            if outcome.fits:
                good, most = size, min(most, outcome.most)
            else:
                bad = size
            size = self._next(good, bad, most)
        if bad is not None and good and self.mode == "binsearch":
            return max(1, int(good * (1 - self.margin)))
        return int(min(good, most))

    def _next(self, good: int, bad: int | None, most: float) -> int | None:
        """Return the size to try next; None where the search is over."""
        if bad is None:
            doubled = int(min(2 * good, most))
            return doubled if doubled > good else None
        if not good:
            return bad // 2 or None
        middle = (good + bad) // 2
        return middle if self.mode == "binsearch" and middle > good else None
