"""Names of checkpoint files, filled in with metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Formatter

from torch import Tensor

from fulmen_interfaces import did_you_mean, rank_zero_warn


def fill_in(template: str, metrics: Mapping[str, Tensor | float], *, equals: str | None) -> str:
    """Return the template with every `{metric}` or `{metric:format}` replaced by its value, 0 where there is none.

    With `equals`, the metric's name and that sign stand before its value. Names may hold slashes and dots.
    """
    parts: list[str] = []
    for literal, name, form, _ in Formatter().parse(template):
        parts.append(literal)
        if name is None:
            continue
        if equals is not None:
            parts.append(f"{name}{equals}")
        value = metrics.get(name, 0)
        number = value.item() if isinstance(value, Tensor) else value
        parts.append(format(number, form or ""))
    return "".join(parts)


def warn_of_absent(template: str, metrics: Mapping[str, Tensor | float]) -> None:
    """Say which metrics the template names that are not there."""
    for _, name, _, _ in Formatter().parse(template):
        if name is not None and name not in metrics:
            reason = f"The checkpoint's name {template!r} has 0 for {name!r}, which has not been logged so far."
            rank_zero_warn(" ".join(filter(None, [reason, did_you_mean(name, metrics)])))


def pattern_of(template: str, equals: str, version_separator: str, extension: str) -> re.Pattern[str]:
    """Return what matches every file name that the template may have become, its version counter included."""
    parts: list[str] = []
    for literal, name, _, _ in Formatter().parse(template):
        parts.append(re.escape(literal))
        if name is not None:
            parts.append(f"{re.escape(name + equals) if equals else ''}.+?")
    return re.compile(f"{''.join(parts)}(?:{re.escape(version_separator)}\\d+)?{re.escape(extension)}")
