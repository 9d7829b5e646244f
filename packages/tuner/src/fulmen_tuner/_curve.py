"""What `lr_find` found: the loss by learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import linear_regression
from typing import TYPE_CHECKING, Any, final

from fulmen_interfaces import rank_zero_warn
from fulmen_tuner._sweep import Mode, share_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_REACH = 20
"""The slope at a point takes in one of so many points on either side."""


@final
class LearningRateCurve:
    """The smoothed loss by learning rate, what it suggests, and its picture."""

    rule = "where the smoothed loss falls most steeply over the rate's logarithm, on its way to its lowest point"
    """How `suggestion` chooses."""

    def __init__(self, rates: Sequence[float], *, losses: Sequence[float], raw: Sequence[float], mode: Mode) -> None:
        self.mode: Mode = mode
        """How the learning rates follow each other."""
        self.results = {"lr": list(rates), "loss": list(losses)}
        """The learning rates that were tried, and their smoothed losses."""
        self.raw_losses = list(raw)
        """The losses as they came."""

    def suggestion(self, skip_begin: int = 10, skip_end: int = 1) -> float | None:
        """Return the learning rate at which the smoothed loss, on its way to its lowest point, falls most steeply.

        The slope is taken over the rate's logarithm, from a tenth of the points, and counts less where few losses are
        averaged yet. So many points are left out at both ends, where the curve is noisy or explodes. None, with a
        warning, where too few are left or the loss does not fall.
        """
        index = self._steepest(skip_begin, skip_end)
        return None if index is None else self.results["lr"][index]

    def plot(self, suggest: bool = False, show: bool = False, ax: Axes | None = None) -> Any:
        """Draw the curve and return its matplotlib figure; needs `fulmen-tuner[plot]`.

        `suggest` marks the suggestion, `show` opens a window, `ax` is where to draw instead of in a figure of its own.
        """
        from fulmen_tuner._plot import draw  # matplotlib is optional

        return draw(self, suggested=self.suggestion() if suggest else None, show=show, ax=ax)

    def _steepest(self, skip_begin: int, skip_end: int) -> int | None:
        last = len(self.results["lr"]) - skip_end
        points = max(last - skip_begin, 0)
        if points < 2:
            rank_zero_warn(
                f"No learning rate is suggested: {len(self.results['lr'])} steps were made, and without the first "
                f"{skip_begin} and the last {skip_end} of them {points} are left. Make more steps (num_training), "
                "start lower (min_lr), or leave fewer out."
            )
            return None
        losses = self.results["loss"][skip_begin:last]
        until = losses.index(min(losses)) + 1  # behind it, dips are noise on the way up
        if until < 2:
            rank_zero_warn(
                "No learning rate is suggested: the loss fell at none of them. Look at `plot()`; try lower rates "
                "(min_lr) or more steps (num_training)."
            )
            return None
        counts = range(skip_begin + 1, skip_begin + 1 + until)
        return skip_begin + _steepest_fall(self.results["lr"][skip_begin:last], losses, counts)


def _steepest_fall(rates: Sequence[float], losses: Sequence[float], counts: Sequence[int]) -> int:
    """Return the index of the steepest fall, as far as there are counts: of the losses in each mean.

    Losses of small batches are noisy, means of few of them most: the steepest step from one point to the next would be
    chance, and far too small a rate be suggested.
    """
    positions = [math.log10(rate) for rate in rates]
    reach = max(1, len(rates) // _REACH)

    def slope(index: int) -> float:
        window = slice(max(0, index - reach), index + reach + 1)
        return linear_regression(positions[window], losses[window]).slope * share_of(counts[index])

    return min(range(len(counts)), key=slope)
