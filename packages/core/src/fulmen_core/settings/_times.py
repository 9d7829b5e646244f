"""Lengths of time as users write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from fulmen_interfaces import Every

UNITS = ("weeks", "days", "hours", "minutes", "seconds")
_CLOCK = re.compile(r"(\d+):(\d+):(\d+):(\d+)")


def parses_as_clock(text: str) -> bool:
    """Return whether it is written as `"days:hours:minutes:seconds"`, or at least with colons."""
    return ":" in text


def parse_duration(value: str | Mapping[str, float] | timedelta) -> timedelta:
    """Return the time that `"days:hours:minutes:seconds"`, `"12 h"` or a dictionary of units means.

    Raises ValueError or TypeError where it means none.
    """
    if isinstance(value, timedelta):
        return value
    if isinstance(value, Mapping):
        return timedelta(**value)
    clock = _CLOCK.fullmatch(value.strip())
    if clock is not None:
        days, hours, minutes, seconds = map(int, clock.groups())
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    time = Every.parse(value).time
    if time is None:
        raise ValueError(value)
    return time
