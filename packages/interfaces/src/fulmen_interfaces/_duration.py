"""Lengths of time as users write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from fulmen_interfaces._every import Every

_CLOCK = re.compile(r"(\d+):(\d+):(\d+):(\d+)")

DURATION_FORMS = (
    "Write '12 h', 'days:hours:minutes:seconds', or a dictionary with weeks, days, hours, minutes, seconds."
)
"""What messages offer."""


def parse_duration(value: object) -> timedelta:
    """Return the time that `"days:hours:minutes:seconds"`, `"12 h"`, a dictionary of units or a `timedelta` means.

    Raises ValueError where it means none.
    """
    if isinstance(value, timedelta):
        return value
    try:
        if isinstance(value, Mapping):
            return timedelta(**value)
        text = str(value)
        clock = _CLOCK.fullmatch(text.strip())
        if clock is not None:
            days, hours, minutes, seconds = map(int, clock.groups())
            return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        time = Every.parse(text).time
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from None
    if time is None:
        raise ValueError(f"{text} is no time.")
    return time
