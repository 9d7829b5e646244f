"""What draws: one painter per kind of output."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Protocol

Metrics = Mapping[str, int | str | float]


class Bar(Enum):
    """The bars that there may be; training and one kind of evaluation may be shown at once."""

    TRAIN = "train"
    SANITY = "sanity"
    VALIDATION = "validation"
    TEST = "test"
    PREDICT = "predict"


class Painter(Protocol):
    """Draws bars. Every call draws at once: who calls decides how often."""

    def open(self, bar: Bar, description: str, total: float | None, done: int = 0) -> None:
        """Show a bar; one that is shown starts again. `total` is None where it is not known, `done` was done before."""
        ...

    def update(self, bar: Bar, done: int, metrics: Metrics) -> None:
        """Show how much of a bar is done."""
        ...

    def close(self, bar: Bar, done: int, metrics: Metrics, *, keep: bool) -> None:
        """End a bar; it stays on the screen where `keep` is set."""
        ...

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bars."""
        ...

    def stop(self) -> None:
        """Leave the output as it is and let go of it. Nothing may follow but `stop`."""
        ...


def metric_text(name: str, value: float | str, number_format: str = ".3g") -> str:
    """Return `name: value`, the value with few digits."""
    return f"{name}: {format(value, number_format) if isinstance(value, float) else value}"


def clock(seconds: float) -> str:
    """Return a duration as `0:01:05`."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def speed(per_second: float) -> str:
    """Return `12.3it/s`, or `4.50s/it` where one takes longer than a second."""
    if per_second <= 0:
        return "–"
    return f"{per_second:.1f}it/s" if per_second >= 1 else f"{1 / per_second:.2f}s/it"
