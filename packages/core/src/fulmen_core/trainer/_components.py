"""Callbacks and profiler of a run: the user's own, and the defaults that the installed plugins offer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fulmen_core.module import LightningModule
from fulmen_core.settings import EffectiveSettings, TrainerSettings
from fulmen_interfaces import (
    CALLBACKS,
    PROFILERS,
    Callback,
    CallbackRole,
    Catalogue,
    ConfigurationError,
    ModuleError,
    Problem,
    Profiler,
)

_INSTALL = "`pip install fulmen-callbacks` brings one."


def make_callbacks(settings: TrainerSettings, run: EffectiveSettings, catalogue: Catalogue) -> list[Callback]:
    """Return the callbacks that were given, the defaults of the roles that they leave open, and what all runs get."""
    callbacks = list(settings.callbacks)
    problems: list[Problem] = []
    for role, argument, asked, enabled in (
        (CallbackRole.CHECKPOINT, "enable_checkpointing", settings.enable_checkpointing, run.enable_checkpointing),
        (CallbackRole.PROGRESS_BAR, "enable_progress_bar", settings.enable_progress_bar, run.enable_progress_bar),
        (CallbackRole.MODEL_SUMMARY, "enable_model_summary", settings.enable_model_summary, run.enable_model_summary),
    ):
        if enabled and not any(one.role is role for one in callbacks):
            made = _default(catalogue, role)
            if made is not None:
                callbacks.append(made)
            elif asked:
                problems.append(Problem(argument, True, "No callback for it is installed.", _INSTALL))
    if run.max_time is not None:
        timer = _default(catalogue, CallbackRole.TIMER, duration=run.max_time)
        if timer is None:
            problems.append(Problem("max_time", run.max_time, "No callback that keeps time is installed.", _INSTALL))
        else:
            callbacks.append(timer)
    if problems:
        raise ConfigurationError(problems)
    if not run.barebones:
        callbacks += _automatic(catalogue, {type(one) for one in callbacks})
    return callbacks


def with_module_callbacks(callbacks: Sequence[Callback], module: LightningModule) -> tuple[Callback, ...]:
    """Return the callbacks in the order in which they are called, those of the module in the place of their like.

    Their like are objects of the same class, or of one that it extends.
    """
    own = module.configure_callbacks() or ()
    own = [own] if isinstance(own, Callback) else list(own)
    for one in own:
        if not isinstance(one, Callback):
            raise ModuleError(
                f"`{type(module).__name__}.configure_callbacks` returned {one!r} among its callbacks. "
                "Return objects of classes derived from `Callback`."
            )
    kept = [one for one in callbacks if type(one) is Callback or not any(isinstance(mine, type(one)) for mine in own)]
    return tuple(sorted([*kept, *own], key=lambda callback: callback.order))


def _default(catalogue: Catalogue, role: CallbackRole, **arguments: Any) -> Callback | None:
    spec = next((spec for spec in catalogue.specs(CALLBACKS) if spec.role is role), None)
    return None if spec is None else spec.create(**arguments)


def _automatic(catalogue: Catalogue, given: set[type[Callback]]) -> list[Callback]:
    made = [spec.create() for spec in catalogue.specs(CALLBACKS) if spec.automatic]
    return [one for one in made if type(one) not in given]


def make_profiler(wanted: str | Profiler | None, catalogue: Catalogue) -> Profiler | None:
    """Return the profiler that was given, or the one of that name."""
    if not isinstance(wanted, str):
        return wanted
    made: Profiler = catalogue.find(PROFILERS, wanted).create()
    return made
