"""The picture of a learning-rate search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_LINE, _DOTS, _MARK = "#2a5db0", "#9db4d6", "#c8452d"
_ROOM = 0.08
_HEIGHT = 1.5


class Curve(Protocol):
    """What is drawn."""

    mode: Literal["exponential", "linear"]
    results: dict[str, list[float]]
    raw_losses: list[float]


def draw(curve: Curve, *, suggested: float | None, show: bool, ax: Axes | None) -> Any:
    """Draw the losses by learning rate, and return the figure."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "`plot` draws with matplotlib, which is not installed. `pip install fulmen-tuner[plot]` brings it; the "
            "numbers are in `results`."
        ) from error
    if ax is None:
        _, ax = pyplot.subplots(figsize=(7.0, 4.2), layout="constrained")
    _draw_losses(ax, curve)
    if suggested is not None:
        _mark(ax, curve, suggested)
    if curve.mode == "exponential":
        ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("training loss")
    ax.grid(which="major", alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="best")
    if show:
        pyplot.show()
    return ax.get_figure()


def _draw_losses(ax: Axes, curve: Curve) -> None:
    rates, losses = curve.results["lr"], curve.results["loss"]
    ax.plot(rates, curve.raw_losses, ".", color=_DOTS, markersize=4, label="each step")
    ax.plot(rates, losses, color=_LINE, linewidth=2, label="smoothed")
    if losses:
        ax.set_ylim(*_view(losses, curve.raw_losses))


def _view(losses: Sequence[float], raw: Sequence[float]) -> tuple[float, float]:
    """Return what of the losses is worth seeing: the way down, and the beginning of the way up.

    Where the loss explodes, all of it would press the rest to the floor.
    """
    lowest = min(losses)
    low = min(lowest, sorted(raw)[len(raw) // 50])
    before = max(losses[: losses.index(lowest) + 1])
    high = min(max(losses), low + _HEIGHT * (before - low)) if before > low else max(losses)
    room = _ROOM * (high - low) or 0.1
    return low - room, high + room


def _mark(ax: Axes, curve: Curve, suggested: float) -> None:
    loss = curve.results["loss"][curve.results["lr"].index(suggested)]
    ax.axvline(suggested, color=_MARK, linewidth=1, linestyle=":", zorder=1)
    ax.plot([suggested], [loss], "o", color=_MARK, markersize=9, zorder=3, label=f"suggested: {suggested:.2g}")
