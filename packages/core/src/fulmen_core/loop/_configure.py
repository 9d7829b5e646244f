"""Reading what `configure_optimizers` returned."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from fulmen_interfaces import LRSchedulerConfig, ModuleError, did_you_mean, rank_zero_warn

_FORMS = (
    "Return one optimizer; a list of optimizers; ([optimizers], [schedulers]); a dict with 'optimizer' and perhaps "
    "'lr_scheduler'; a list of such dicts; or None."
)
_OPTIMIZER_KEYS = ("optimizer", "lr_scheduler", "monitor")
_SCHEDULER_KEYS = tuple(one.name for one in fields(LRSchedulerConfig) if one.name != "opt_idx")


def read_configuration(returned: Any, *, manual: bool = False) -> tuple[list[Optimizer], list[LRSchedulerConfig]]:
    """Return the optimizers and the schedulers in any of the accepted forms. Raises ModuleError for any other.

    Under `manual` optimisation the user steps schedulers, and hands them what they watch.
    """
    optimizers, schedulers = _parts(returned)
    for optimizer in optimizers:
        if not isinstance(optimizer, Optimizer):
            raise ModuleError(f"`configure_optimizers` returned {_short(optimizer)} as an optimizer. {_FORMS}")
    configs = [_scheduler_config(one, monitor) for one, monitor in schedulers]
    for config in configs:
        _check_scheduler(config, manual=manual)
        config.opt_idx = _owner(config.scheduler, optimizers)
    if manual and any(config.interval == "step" or config.frequency > 1 or config.monitor for config in configs):
        rank_zero_warn(
            "Optimisation is manual, where no scheduler steps by itself, whatever its `interval`, `frequency` or "
            "`monitor` says. Call `self.lr_schedulers().step()` where it should."
        )
    return optimizers, configs


def needs_closure(optimizer: Optimizer) -> bool:
    """Return whether the optimizer's `step` cannot be called without a closure (LBFGS)."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def _parts(returned: Any) -> tuple[list[Optimizer], list[tuple[Any, str | None]]]:
    """Split the forms into optimizers, and schedulers with the monitor that was given beside them."""
    if returned is None:
        return [], []
    if isinstance(returned, Optimizer):
        return [returned], []
    if isinstance(returned, Mapping):
        return _parts_of_dicts([returned])
    if isinstance(returned, Sequence) and not isinstance(returned, str):
        if len(returned) == 2 and isinstance(returned[0], Sequence):
            schedulers = returned[1] if isinstance(returned[1], Sequence) else [returned[1]]
            return list(returned[0]), [(one, None) for one in schedulers]
        if returned and all(isinstance(one, Mapping) for one in returned):
            return _parts_of_dicts(returned)
        if returned:
            return list(returned), []
    raise ModuleError(f"`configure_optimizers` returned {_short(returned)}. {_FORMS}")


def _parts_of_dicts(dicts: Sequence[Mapping[str, Any]]) -> tuple[list[Optimizer], list[tuple[Any, str | None]]]:
    optimizers, schedulers = [], []
    for one in dicts:
        if "frequency" in one:
            raise ModuleError(
                f"`configure_optimizers` returned an optimizer with 'frequency': {one['frequency']!r}. Optimizers no "
                "longer take turns by batches. Set `self.automatic_optimization = False` and step each in "
                "`training_step` as often as it should be, for example `if batch_idx % 5 == 0`."
            )
        unknown = [key for key in one if key not in _OPTIMIZER_KEYS]
        if "optimizer" not in one or unknown:
            raise ModuleError(
                f"`configure_optimizers` returned a dict with the keys {sorted(map(str, one))}."
                f"{_hints(unknown, _OPTIMIZER_KEYS)} "
                "The keys are 'optimizer', and perhaps 'lr_scheduler' and 'monitor'."
            )
        optimizers.append(one["optimizer"])
        if one.get("lr_scheduler") is not None:
            schedulers.append((one["lr_scheduler"], one.get("monitor")))
    return optimizers, schedulers


def _scheduler_config(given: Any, monitor: str | None) -> LRSchedulerConfig:
    if isinstance(given, LRSchedulerConfig):
        config = given
    elif isinstance(given, Mapping):
        unknown = [key for key in given if key not in _SCHEDULER_KEYS]
        if unknown or given.get("scheduler") is None:
            raise ModuleError(
                f"A scheduler was given as a dict with the keys {sorted(map(str, given))}."
                f"{_hints(unknown, _SCHEDULER_KEYS)} "
                f"It needs 'scheduler', and may have {', '.join(repr(key) for key in _SCHEDULER_KEYS[1:])}."
            )
        config = LRSchedulerConfig(**given)
    else:
        config = LRSchedulerConfig(scheduler=given)
    config.monitor = config.monitor or monitor
    if isinstance(config.scheduler, ReduceLROnPlateau):
        config.reduce_on_plateau = True
    return config


def _check_scheduler(config: LRSchedulerConfig, *, manual: bool) -> None:
    name = type(config.scheduler).__name__
    if config.interval not in ("epoch", "step"):
        raise ModuleError(f"The interval of the scheduler {name} is {config.interval!r}; it must be 'epoch' or 'step'.")
    if not isinstance(config.frequency, int) or config.frequency < 1:
        raise ModuleError(f"The frequency of the scheduler {name} is {config.frequency!r}; it must be 1 or more.")
    if config.reduce_on_plateau and config.monitor is None and not manual:
        raise ModuleError(
            f"The scheduler {name} watches a metric, but none is named. Return it as "
            "{'scheduler': scheduler, 'monitor': 'val_loss'}, with the name of something that you log."
        )
    missing = [method for method in ("step", "state_dict", "load_state_dict") if not hasattr(config.scheduler, method)]
    if missing:
        raise ModuleError(
            f"{_short(config.scheduler)} was given as a scheduler, but has no {', '.join(missing)}. "
            "Give a scheduler of torch.optim.lr_scheduler or an object with these methods."
        )


def _owner(scheduler: Any, optimizers: Sequence[Optimizer]) -> int:
    """Return the position of the scheduler's optimizer; objects that name none belong to the first."""
    owner = getattr(scheduler, "optimizer", None)
    if owner is None:
        return 0
    for position, optimizer in enumerate(optimizers):
        if optimizer is owner:
            return position
    raise ModuleError(
        f"The scheduler {type(scheduler).__name__} belongs to an optimizer that `configure_optimizers` did not return. "
        "Return that optimizer too."
    )


def _hints(unknown: Sequence[object], keys: Sequence[str]) -> str:
    """Return what each unknown key was probably meant to be, each behind a blank."""
    found = [did_you_mean(str(key), keys) for key in unknown]
    return "".join(f" {hint}" for hint in found if hint)


def _short(value: object) -> str:
    """Name a value in one line."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_short, value))}]"
    text, kind = repr(value), type(value).__name__
    return kind if text.startswith("<") or "\n" in text or len(text) > 60 else f"{text} ({kind})"
