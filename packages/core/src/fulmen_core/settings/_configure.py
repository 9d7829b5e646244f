"""Everything that is decided before a run: settings and plan, with all their problems in one error."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from fulmen_core.resolver import RunPlan, try_to_resolve
from fulmen_core.settings._check import read_settings
from fulmen_core.settings._settings import TrainerSettings
from fulmen_interfaces import LOGGERS, PROFILERS, Catalogue, ConfigurationError, PluginError, Problem, Role


def configure(
    arguments: Mapping[str, object],
    catalogue: Catalogue,
    *,
    interactive: bool = False,
    environment: Mapping[str, str] = os.environ,
    caller: str = "Trainer",
) -> tuple[TrainerSettings, RunPlan]:
    """Return the settings of a Trainer and the plan of its runs; `arguments` are those that the user gave.

    `environment` holds the variables that may give further ones, `caller` is the class that messages speak of.
    Raises ConfigurationError with every problem of both at once.
    """
    reading = read_settings(arguments, environment)
    request = replace(reading.settings.run_request, caller=caller)
    plan = try_to_resolve(request, catalogue, interactive=interactive)
    problems = [*reading.problems, *reading.with_variables(_names(reading.settings, catalogue))]
    if isinstance(plan, RunPlan) and not problems:
        return reading.settings, plan
    if isinstance(plan, RunPlan):
        raise ConfigurationError(problems)
    raise ConfigurationError([*problems, *reading.with_variables(plan.problems)], plan.suggestions)


def _names(settings: TrainerSettings, catalogue: Catalogue) -> Iterator[Problem]:
    loggers = settings.logger if isinstance(settings.logger, tuple) else (settings.logger,)
    named: list[tuple[str, Role[Any], object]] = [("profiler", PROFILERS, settings.profiler)]
    named += [("logger", LOGGERS, one) for one in loggers]
    for argument, role, name in named:
        if isinstance(name, str):
            try:
                catalogue.find(role, name)
            except PluginError as error:
                yield Problem(argument, name, str(error))
