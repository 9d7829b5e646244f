"""What each argument may be, as types that pydantic checks. Imported when the first Trainer is made, not before."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from numbers import Integral, Real
from os import PathLike, fspath
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, PlainValidator, Strict

from fulmen_interfaces import (
    DURATION_FORMS,
    EXAMPLES,
    Callback,
    CheckpointIO,
    ClipAlgorithm,
    ClusterEnvironment,
    Every,
    Logger,
    Precision,
    Profiler,
    parse_duration,
)


@dataclass(frozen=True)
class Shape:
    """What an argument may be."""

    kind: Any
    """A type that pydantic can check and convert to."""
    text: str = ""
    """How messages describe it."""
    example: object = None
    """A value that is right."""


class Refused(ValueError):
    """A value that is refused for a reason of its own."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


PLUGIN_KINDS = (Precision, ClusterEnvironment, CheckpointIO)


def _plain(value: object) -> object:
    """Turn numbers of other libraries into Python's; bool is none of them."""
    if isinstance(value, bool) or type(value) in (int, float):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def _limit(value: object) -> int | float:
    number = _plain(value)
    if isinstance(number, bool):
        raise Refused(f"{number} is no number of batches.", "1 means one batch, 1.0 means all of them.")
    if isinstance(number, int) and number >= 0:
        return number
    if isinstance(number, float) and 0.0 <= number <= 1.0:
        return number
    if isinstance(number, float) and number > 1.0:
        whole = f" For {number:g} batches write {int(number)}." if number.is_integer() else ""
        raise Refused("A float is a share of all batches, from 0.0 to 1.0.", f"An int is a number of batches.{whole}")
    raise ValueError


def _interval(value: object) -> int | float | timedelta | Every:
    every = _every(value, "Without a unit, an int counts batches and a float is a share of an epoch.")
    if every is not None:
        return every
    if isinstance(value, (str, Mapping, timedelta)):
        duration = _duration(value)
        if duration > timedelta(0):
            return duration
        raise Refused("No time lies between validations.", "limit_val_batches=0 switches validation off.")
    number = _limit(value)
    if number == 0:
        raise Refused("Validation after every 0 batches is no plan.", "limit_val_batches=0 switches validation off.")
    return number


def _log_interval(value: object) -> int | Every:
    every = _every(value, "Without a unit, an int counts steps.")
    if every is not None:
        return every
    number = _plain(value)
    if type(number) is not int or number < 0:
        raise ValueError
    return number


def _every(value: object, without: str) -> Every | None:
    """Return an interval with a unit; None where it is written in another way. `without` says what numbers mean."""
    if isinstance(value, Every):
        return value
    if not isinstance(value, str) or ":" in value:
        return None
    try:
        return Every.parse(value)
    except ValueError as error:
        raise Refused(str(error), without) from None


def _duration(value: object) -> timedelta:
    if not isinstance(value, (str, Mapping, timedelta)):
        raise ValueError
    try:
        duration = parse_duration(value)
    except ValueError:
        raise Refused("That is no length of time.", DURATION_FORMS) from None
    if duration < timedelta(0):
        raise Refused("A length of time is not negative.", "Write '12 h', or leave it out.")
    return duration


def _clip_value(value: object) -> float:
    number = _plain(value)
    if isinstance(number, bool) or not isinstance(number, (int, float)) or math.isnan(number) or number < 0:
        raise ValueError
    return number


def _accumulation(value: object) -> object:
    if isinstance(value, Mapping):
        remedy = f"Write callbacks=[GradientAccumulationScheduler(scheduling={dict(value)!r})]."
        raise Refused("A number that changes with the epoch is the work of a callback.", remedy)
    return _plain(value)


def _algorithm(value: object) -> ClipAlgorithm:
    return ClipAlgorithm(value.strip().lower() if isinstance(value, str) else value)


def _objects(noun: str, kinds: tuple[Any, ...], home: str, text: bool = False) -> Callable[[object], Any]:
    """Return a check for one object of these kinds, or several; the result is a tuple."""

    def check(value: object) -> tuple[Any, ...]:
        if value is None:
            return ()
        several = isinstance(value, Iterable) and not isinstance(value, (str, type, *kinds))
        items = tuple(value) if several and isinstance(value, Iterable) else (value,)
        for item in items:
            _check_object(item, noun, kinds, home, text)
        return items

    return check


def _check_object(item: object, noun: str, kinds: tuple[Any, ...], home: str, text: bool) -> None:
    if isinstance(item, type):
        raise Refused(f"{item.__name__} is a class, not a {noun}.", f"Write {item.__name__}(...).")
    if isinstance(item, kinds) or (text and isinstance(item, str)):
        return
    if type(item).__module__.partition(".")[0] in ("lightning", "pytorch_lightning", "lightning_fabric"):
        name = type(item).__name__
        raise Refused(f"{name} of Lightning is no {noun} of fulmen.", f"Import {name} from {home}.")
    raise Refused(f"{item!r} is no {noun}.", f"Objects of {home} are." if home else "")


def _loggers(value: object) -> object:
    if value is None or isinstance(value, (bool, str, Logger)):
        return value
    several = _objects("logger", (Logger,), "fulmen.loggers", text=True)(value)
    if len(several) == 1 and several[0] is value:
        return value
    return several or False


def _profiler(value: object) -> object:
    if not isinstance(value, str):
        _check_object(value, "profiler", (Profiler,), "fulmen.profilers", False)
    return value


def _path(value: object) -> str:
    if not isinstance(value, (str, PathLike)):
        raise ValueError
    return str(fspath(value))


Count: TypeAlias = Annotated[int, BeforeValidator(_plain), Strict(), Field(ge=0)]
MaybeCount: TypeAlias = Count | None
Positive: TypeAlias = Annotated[int, BeforeValidator(_accumulation), Strict(), Field(ge=1)]
MaybePositive: TypeAlias = Annotated[int, BeforeValidator(_plain), Strict(), Field(ge=1)] | None
OrUnlimited: TypeAlias = Annotated[int, BeforeValidator(_plain), Strict(), Field(ge=-1)]
MaybeUnlimited: TypeAlias = OrUnlimited | None
YesNo: TypeAlias = Annotated[bool, Strict()]
MaybeYesNo: TypeAlias = YesNo | None
Batches: TypeAlias = Annotated[Any, PlainValidator(_limit)]
MaybeBatches: TypeAlias = Batches | None
TrialRun: TypeAlias = YesNo | Count
Deterministic: TypeAlias = YesNo | Literal["warn"] | None
MaybeDuration: TypeAlias = Annotated[Any, PlainValidator(_duration)] | None
MaybeInterval: TypeAlias = Annotated[Any, PlainValidator(_interval)] | None
MaybeLogInterval: TypeAlias = Annotated[Any, PlainValidator(_log_interval)] | None
MaybeClipValue: TypeAlias = Annotated[Any, PlainValidator(_clip_value)] | None
MaybeAlgorithm: TypeAlias = Annotated[Any, PlainValidator(_algorithm)] | None
MaybeProfiler: TypeAlias = Annotated[Any, PlainValidator(_profiler)] | None
MaybePath: TypeAlias = Annotated[Any, PlainValidator(_path)] | None
Loggers: TypeAlias = Annotated[Any, PlainValidator(_loggers)]
Callbacks: TypeAlias = Annotated[Any, PlainValidator(_objects("callback", (Callback,), "fulmen.callbacks"))]
Plugins: TypeAlias = Annotated[
    Any,
    PlainValidator(_objects("precision, cluster environment or checkpoint io", PLUGIN_KINDS, "fulmen.plugins")),
]

_FOR_RESOLVER = Shape(Any)
_SWITCH = Shape(YesNo, "True or False", True)
_MAYBE_SWITCH = Shape(MaybeYesNo, "True or False", True)
_LEAST = Shape(MaybeCount, "a whole number from 0 on", 5)
_LIMIT = "a number of batches (an int from 0 on) or a share of them (a float from 0.0 to 1.0)"
_UNLIMITED = "a whole number from 0 on, or -1 for no limit"

SHAPES: Mapping[str, Shape] = {
    **dict.fromkeys(["accelerator", "strategy", "devices", "num_nodes", "precision"], _FOR_RESOLVER),
    "logger": Shape(Loggers, "True, False, a logger, its name, or a list of them", True),
    "callbacks": Shape(Callbacks, "a list of callbacks", []),
    "fast_dev_run": Shape(TrialRun, "True, False, or a number of batches", True),
    "max_epochs": Shape(MaybeUnlimited, _UNLIMITED, 10),
    "min_epochs": _LEAST,
    "max_steps": Shape(OrUnlimited, _UNLIMITED, 1000),
    "min_steps": _LEAST,
    "max_time": Shape(MaybeDuration, "a length of time", "12 h"),
    **dict.fromkeys(
        ["limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches"],
        Shape(MaybeBatches, _LIMIT, 0.25),
    ),
    "overfit_batches": Shape(Batches, _LIMIT, 10),
    "val_check_interval": Shape(
        MaybeInterval,
        "a share of an epoch (a float up to 1.0), a number of batches (an int), a length of time, or an amount with a "
        f"unit ({EXAMPLES})",
        0.25,
    ),
    "check_val_every_n_epoch": Shape(
        MaybePositive, "a whole number from 1 on, or None to count batches across epochs", 1
    ),
    "num_sanity_val_steps": Shape(MaybeUnlimited, "a whole number from 0 on, or -1 for all", 2),
    "log_every_n_steps": Shape(
        MaybeLogInterval, f"a whole number from 1 on, 0 for never, or an amount with a unit ({EXAMPLES})", 50
    ),
    **dict.fromkeys(["enable_checkpointing", "enable_progress_bar", "enable_model_summary"], _MAYBE_SWITCH),
    "accumulate_grad_batches": Shape(Positive, "a whole number from 1 on", 4),
    "gradient_clip_val": Shape(MaybeClipValue, "a number above 0, or None for no clipping", 1.0),
    "gradient_clip_algorithm": Shape(MaybeAlgorithm, "'norm' or 'value'", "norm"),
    "deterministic": Shape(Deterministic, "True, False or 'warn'", True),
    "benchmark": _MAYBE_SWITCH,
    **dict.fromkeys(["inference_mode", "use_distributed_sampler", "detect_anomaly", "barebones"], _SWITCH),
    "uneven_batches": Shape(Literal["stop", "zero_weight"], "'stop' or 'zero_weight'", "stop"),
    "profiler": Shape(MaybeProfiler, "a profiler or its name", "simple"),
    "plugins": Shape(Plugins, "a precision, a cluster environment, a checkpoint io, or a list of them", []),
    "sync_batchnorm": _SWITCH,
    "reload_dataloaders_every_n_epochs": Shape(Count, "a whole number from 0 on", 1),
    "default_root_dir": Shape(MaybePath, "a path", "runs"),
    "enable_autolog_hparams": _SWITCH,
    "auto_lr_find": Shape(YesNo | Annotated[str, Strict()], "True, False, or the name of an attribute", True),
    "auto_scale_batch_size": Shape(
        YesNo | Literal["power", "binsearch"], "True, False, 'power' or 'binsearch'", "power"
    ),
}
"""Every argument of a Trainer. Those that the resolver decides upon are left to it."""
