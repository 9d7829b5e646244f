"""Errors about arguments of callbacks."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real

from fulmen_interfaces import ConfigurationError, Problem


def refuse(problems: Iterable[Problem | None]) -> None:
    """Raise one ConfigurationError with all problems, if there are any."""
    found = [problem for problem in problems if problem is not None]
    if found:
        raise ConfigurationError(found)


def one_of(argument: str, value: object, options: Iterable[object]) -> Problem | None:
    """Return a problem where the value is not among the options."""
    options = list(options)
    if value in options:
        return None
    listed = ", ".join(repr(option) for option in options)
    return Problem(argument, value, "There is no such choice.", f"Give one of {listed}.")


def at_least(argument: str, value: float, least: float) -> Problem | None:
    """Return a problem where the value is below the least one, or no number."""
    if not isinstance(value, Real):
        return Problem(argument, value, "It must be a number.", f"Give {least} or more.")
    if value >= least:
        return None
    return Problem(argument, value, f"It must not be below {least}.", f"Give {least} or more.")
