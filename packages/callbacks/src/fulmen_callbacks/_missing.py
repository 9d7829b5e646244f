"""The monitored metric is not there."""

from __future__ import annotations

from collections.abc import Iterable

from fulmen_interfaces import Problem, did_you_mean


def missing_monitor(monitor: str | None, metrics: Iterable[str]) -> Problem:
    """Return the problem that says which metrics there are."""
    names = sorted(metrics)
    hint = did_you_mean(str(monitor), names)
    reason = f"No metric of that name was logged; there are {', '.join(map(repr, names)) or 'none'}."
    remedy = f"Call `self.log({monitor!r}, ...)` in the module, or monitor another one."
    return Problem("monitor", monitor, reason, " ".join(filter(None, [hint, remedy])))
