"""The arguments of a Fabric, checked and resolved as those of a Trainer are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from os import getcwd
from typing import Any

from fulmen_core.checkpoint import TorchCheckpointIO
from fulmen_core.logging import make_loggers
from fulmen_core.resolver import RunPlan, is_interactive
from fulmen_core.settings import configure
from fulmen_interfaces import (
    CheckpointIO,
    ConfigurationError,
    Logger,
    Precision,
    Problem,
    Strategy,
    default_catalogue,
)


@dataclass(frozen=True)
class FabricParts:
    """What the arguments stand for."""

    plan: RunPlan
    strategy: Strategy
    precision: Precision
    callbacks: tuple[Any, ...]
    loggers: list[Logger]
    checkpoint_io: CheckpointIO


def make_parts(*, callbacks: object, loggers: object, **arguments: object) -> FabricParts:
    """Return the parts. Raises ConfigurationError with everything that is wrong with the arguments."""
    catalogue = default_catalogue()
    problems = list(_classes(callbacks))
    try:
        settings, plan = configure(
            {**arguments, "logger": False if loggers is None else loggers},
            catalogue,
            interactive=is_interactive(),
            environment={},
            caller="Fabric",
        )
    except ConfigurationError as error:
        problems = [*map(_as_argument_of_fabric, error.problems), *problems]
        raise ConfigurationError(problems, error.suggestions) from None
    if problems:
        raise ConfigurationError(problems)
    chosen = False if settings.logger is None else settings.logger
    return FabricParts(
        plan=plan,
        strategy=plan.make_strategy(),
        precision=plan.make_precision(),
        callbacks=_several(callbacks),
        loggers=make_loggers(chosen, catalogue, getcwd()),
        checkpoint_io=settings.checkpoint_io or TorchCheckpointIO(),
    )


def _several(callbacks: object) -> tuple[Any, ...]:
    if callbacks is None:
        return ()
    return tuple(callbacks) if isinstance(callbacks, Iterable) else (callbacks,)


def _classes(callbacks: object) -> Iterator[Problem]:
    for one in _several(callbacks):
        if isinstance(one, type):
            yield Problem("callbacks", callbacks, f"{one.__name__} is a class.", f"Write {one.__name__}(...).")


def _as_argument_of_fabric(problem: Problem) -> Problem:
    """Return a problem with the Trainer's `logger` as one with `loggers`."""
    if problem.argument != "logger":
        return problem
    return replace(problem, argument="loggers", remedy=problem.remedy.replace("logger=", "loggers="))
