"""Arguments that are fine each, but not together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from fulmen_core.settings._settings import TrainerSettings
from fulmen_interfaces import (
    Callback,
    CallbackRole,
    CheckpointIO,
    ClusterEnvironment,
    Every,
    Precision,
    Problem,
    Unit,
)


def conflicts(settings: TrainerSettings) -> list[Problem]:
    """Return every problem between arguments that are valid by themselves."""
    checks = (_ends_before_its_minimum, _validation_clock, _barebones, _unwanted_callbacks, _too_many, _plugins)
    return [problem for check in checks for problem in check(settings)]


def _ends_before_its_minimum(settings: TrainerSettings) -> Iterator[Problem]:
    if settings.fast_dev_run:
        return
    for unit, least, most in (
        ("epochs", settings.min_epochs, settings.max_epochs),
        ("steps", settings.min_steps, settings.max_steps),
    ):
        if least is not None and most is not None and 0 <= most < least:
            reason = f"max_{unit}={most} ends training before {least} {unit} are done."
            yield Problem(f"min_{unit}", least, reason, f"Write min_{unit}={most} at most, or a larger max_{unit}.")


def _validation_clock(settings: TrainerSettings) -> Iterator[Problem]:
    interval = settings.val_check_interval
    if settings.check_val_every_n_epoch is None and isinstance(interval, float):
        reason = "check_val_every_n_epoch=None counts batches across epochs, where a share has no meaning."
        yield Problem("val_check_interval", interval, reason, "Write a number of batches, for example 1000, or a time.")
    if isinstance(interval, Every):
        yield from _unit_and_epochs(interval, settings.check_val_every_n_epoch)


def _unit_and_epochs(interval: Every, every_n_epochs: int | None) -> Iterator[Problem]:
    if interval.unit is Unit.SHARE and every_n_epochs is None:
        reason = "check_val_every_n_epoch=None counts batches across epochs, where a share has no meaning."
        yield Problem("val_check_interval", str(interval), reason, 'Write "500 steps", or leave out the other.')
    elif interval.unit is not Unit.SHARE and every_n_epochs not in (None, 1):
        reason = f"check_val_every_n_epoch={every_n_epochs} asks for another interval."
        yield Problem("val_check_interval", str(interval), reason, "Leave one of them out.")


def _barebones(settings: TrainerSettings) -> Iterator[Problem]:
    if not settings.barebones:
        return
    for argument, cost in _COSTS.items():
        value = getattr(settings, argument)
        if value:
            remedy = f"Leave {argument} out, or leave barebones out."
            yield Problem(argument, value, f"barebones=True measures bare speed, and {cost}.", remedy)


_COSTS = {
    "logger": "logging costs time",
    "fast_dev_run": "a trial run measures nothing",
    "num_sanity_val_steps": "the sanity check is no training",
    "log_every_n_steps": "logging costs time",
    "enable_checkpointing": "checkpoints cost time",
    "enable_progress_bar": "a progress bar costs time",
    "enable_model_summary": "a summary costs time",
    "profiler": "a profiler costs time",
    "detect_anomaly": "looking for anomalies costs time",
}


def _unwanted_callbacks(settings: TrainerSettings) -> Iterator[Problem]:
    for callback in settings.callbacks:
        argument = _SWITCHES.get(callback.role) if callback.role else None
        if argument is None:
            continue
        name = type(callback).__name__
        if getattr(settings, argument) is False:
            remedy = f"Leave {argument} out, or take {name} out of callbacks."
            yield Problem(argument, False, f"callbacks holds a {name}, which would not be used.", remedy)
        elif settings.barebones:
            remedy = f"Take {name} out of callbacks, or leave barebones out."
            yield Problem("barebones", True, f"callbacks holds a {name}, which costs time.", remedy)


_SWITCHES = {
    CallbackRole.CHECKPOINT: "enable_checkpointing",
    CallbackRole.PROGRESS_BAR: "enable_progress_bar",
    CallbackRole.MODEL_SUMMARY: "enable_model_summary",
}


def _too_many(settings: TrainerSettings) -> Iterator[Problem]:
    bars = [type(one).__name__ for one in settings.callbacks if one.role is CallbackRole.PROGRESS_BAR]
    if len(bars) > 1:
        yield Problem("callbacks", bars, "One progress bar can be shown.", f"Keep {bars[0]} or {bars[-1]}.")
    stateful = Counter(one.state_key for one in settings.callbacks if type(one).state_dict is not Callback.state_dict)
    for key, count in stateful.items():
        if count > 1:
            reason = f"{count} callbacks would store their state under the same key {key!r}."
            yield Problem("callbacks", key, reason, "Give them different settings, or override state_key in one.")


def _plugins(settings: TrainerSettings) -> Iterator[Problem]:
    kinds: dict[str, Callable[[object], bool]] = {
        "precision": lambda plugin: isinstance(plugin, Precision),
        "cluster environment": lambda plugin: isinstance(plugin, ClusterEnvironment),
        "checkpoint io": lambda plugin: isinstance(plugin, CheckpointIO),
    }
    for noun, is_kind in kinds.items():
        names = [type(plugin).__name__ for plugin in settings.plugins if is_kind(plugin)]
        if len(names) > 1:
            reason = f"A run has one {noun}, and here are {len(names)}: {', '.join(names)}."
            yield Problem("plugins", names, reason, "Keep one of them.")
        if noun == "precision" and names and settings.precision is not None:
            reason = f"plugins holds a {names[0]}, which is a precision, too."
            yield Problem("precision", settings.precision, reason, "Keep one of them.")
