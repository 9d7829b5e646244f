"""From what the user wrote to settings, or to everything that is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any

from fulmen_core.settings._conflicts import conflicts
from fulmen_core.settings._environment import PREFIX, arguments_from, variable_of
from fulmen_core.settings._retired import remedy_for_retired
from fulmen_core.settings._settings import TrainerSettings
from fulmen_interfaces import ConfigurationError, Problem

NAMES = tuple(one.name for one in fields(TrainerSettings))


@dataclass(frozen=True)
class Reading:
    """The settings as far as they could be read, and what could not."""

    settings: TrainerSettings
    """Arguments that could not be read are at their defaults."""
    problems: tuple[Problem, ...]
    from_environment: frozenset[str] = frozenset()
    """Arguments that environment variables gave."""

    def with_variables(self, problems: Iterable[Problem]) -> list[Problem]:
        """Return the problems; those with arguments from environment variables name the variable."""
        return [_with_variable(one) if one.argument in self.from_environment else one for one in problems]


def check_settings(**arguments: object) -> TrainerSettings:
    """Return the settings that a Trainer's arguments state; pass only what the user gave.

    What was not given is taken from environment variables: `FULMEN_TRAINER_MAX_EPOCHS=3`.
    Raises ConfigurationError with a problem for every argument that is wrong or unknown.
    """
    reading = read_settings(arguments)
    if reading.problems:
        raise ConfigurationError(reading.problems)
    return reading.settings


def read_settings(arguments: Mapping[str, object], environment: Mapping[str, str] = os.environ) -> Reading:
    """Return the settings and the problems, for callers who have problems of their own to add."""
    from_environment = arguments_from(environment)
    given = {**from_environment, **arguments}
    values, wrong = _validate({name: value for name, value in given.items() if name in NAMES})
    settings = TrainerSettings(**values)
    unknown = [_unknown(name, given[name], name not in arguments) for name in given if name not in NAMES]
    reading = Reading(settings, (), frozenset(from_environment) - frozenset(arguments))
    told = reading.with_variables([*wrong, *conflicts(settings)])
    return replace(reading, problems=(*unknown, *told))


def _with_variable(problem: Problem) -> Problem:
    argument, variable = problem.argument, variable_of(problem.argument)
    return replace(problem, argument=variable, remedy=problem.remedy.replace(f"{argument}=", f"{variable}="))


def _validate(given: dict[str, object]) -> tuple[dict[str, Any], list[Problem]]:
    from fulmen_core.settings._validate import validate  # pydantic is imported with the first Trainer

    return validate(given)


def _unknown(name: str, value: object, in_environment: bool) -> Problem:
    near = get_close_matches(name, NAMES, n=1, cutoff=0.75)
    if in_environment:
        remedy = f"Did you mean {variable_of(near[0])}?" if near else "Unset the variable."
        return Problem(PREFIX + name.upper(), value, "A Trainer has no argument of that name.", remedy)
    today = remedy_for_retired(name, value)
    if today is not None:
        return Problem(name, value, "A Trainer has no such argument.", today)
    remedy = f"Did you mean {near[0]}?" if near else "help(Trainer) lists all arguments."
    return Problem(name, value, "A Trainer has no such argument.", remedy)
