"""How values that a safely loaded checkpoint cannot hold become ones that it can, and come back.

A rule lowers a value by one level; what it returns may hold values to which rules apply in turn.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from fulmen_core.hparams._attribute_dict import AttributeDict
from fulmen_core.hparams._references import NotFound, find_class, reference_to

PLAIN_TYPES = frozenset(
    {type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.layout, torch.Size}
)
"""Types whose values `torch.load(weights_only=True)` reads as they are."""

STORABLE_CLASSES = (nn.Module, Optimizer, LRScheduler)
"""What a class must derive from so that a checkpoint may name it: making such an object is what models are made for."""


@dataclass(frozen=True)
class Lowered:
    """A value made simpler."""

    kind: str
    """Which rule brings it back."""
    value: Any
    detail: str = ""
    """What that rule needs besides the value: a class, a dtype."""


def lower(value: Any) -> Lowered | None:
    """Return a value made simpler by one level; None where no rule applies."""
    by_type = _BY_TYPE.get(type(value))
    if by_type is not None:
        return Lowered(by_type.kind, by_type.lower(value))
    return _lower_by_nature(value) or _lower_numpy(value) or _lower_omegaconf(value)


def lift(kind: str, value: Any, detail: str, home: str) -> Any:
    """Return what was lowered by the rule of that kind. Raises NotFound where its class is not there."""
    if kind in _LIFT_BY_TYPE:
        return _LIFT_BY_TYPE[kind](value)
    if kind in _LIFT_WITH_CLASS:
        return _LIFT_WITH_CLASS[kind](find_class(detail, home), value)
    if kind in _LIFT_WITH_DETAIL:
        return _LIFT_WITH_DETAIL[kind](value, detail)
    raise NotFound(f"it is of the kind {kind!r}, which this version does not know")


# -- values of one exact type ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _TypeRule:
    kind: str
    lower: Callable[[Any], Any]
    lift: Callable[[Any], Any]


def _bounds(value: Any) -> list[Any]:
    return [value.start, value.stop, value.step]


def _memory_format(text: str) -> Any:
    found = getattr(torch, text.removeprefix("torch."), None)
    if not isinstance(found, torch.memory_format):
        raise NotFound(f"there is no memory format {text!r}")
    return found


_PATH = _TypeRule("Path", str, Path)
_BY_TYPE: dict[type, _TypeRule] = {
    PosixPath: _PATH,
    WindowsPath: _PATH,
    PurePosixPath: _TypeRule("PurePosixPath", str, PurePosixPath),
    PureWindowsPath: _TypeRule("PureWindowsPath", str, PureWindowsPath),
    set: _TypeRule("set", list, set),
    frozenset: _TypeRule("frozenset", list, frozenset),
    range: _TypeRule("range", _bounds, lambda bounds: range(*bounds)),
    slice: _TypeRule("slice", _bounds, lambda bounds: slice(*bounds)),
    AttributeDict: _TypeRule("AttributeDict", dict, AttributeDict),
    OrderedDict: _TypeRule("OrderedDict", dict, OrderedDict),
    Counter: _TypeRule("Counter", dict, Counter),
    argparse.Namespace: _TypeRule("Namespace", lambda one: dict(vars(one)), lambda items: argparse.Namespace(**items)),
    SimpleNamespace: _TypeRule("SimpleNamespace", lambda one: dict(vars(one)), lambda items: SimpleNamespace(**items)),
    datetime.datetime: _TypeRule("datetime", datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    datetime.date: _TypeRule("date", datetime.date.isoformat, datetime.date.fromisoformat),
    datetime.time: _TypeRule("time", datetime.time.isoformat, datetime.time.fromisoformat),
    datetime.timedelta: _TypeRule(
        "timedelta",
        lambda span: [span.days, span.seconds, span.microseconds],
        lambda parts: datetime.timedelta(*parts),
    ),
    Decimal: _TypeRule("Decimal", str, Decimal),
    Fraction: _TypeRule("Fraction", str, Fraction),
    UUID: _TypeRule("UUID", str, UUID),
    torch.memory_format: _TypeRule("memory_format", str, _memory_format),
}
_LIFT_BY_TYPE: dict[str, Callable[[Any], Any]] = {rule.kind: rule.lift for rule in _BY_TYPE.values()}
_LIFT_BY_TYPE["items"] = dict


# -- values of a class that has to be found again ----------------------------------------------------------------------


def _lower_by_nature(value: Any) -> Lowered | None:
    if isinstance(value, nn.Module):
        return None
    if isinstance(value, type):
        stored = issubclass(value, STORABLE_CLASSES)
        return Lowered("class", f"{value.__module__}.{value.__qualname__}", reference_to(value)) if stored else None
    of_class = reference_to(type(value))
    if isinstance(value, Enum):
        return Lowered("enum", _enum_value(value), of_class)
    if dataclasses.is_dataclass(value):
        return Lowered("dataclass", _dataclass_state(value), of_class)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return Lowered("namedtuple", tuple(value), of_class)
    return None


def _enum_value(member: Enum) -> Any:
    """Return the value where it is plain, so that other programs can read it, else the name."""
    return member.value if type(member.value) in PLAIN_TYPES else member.name


def _enum_member(cls: type, value: Any) -> Enum:
    if not issubclass(cls, Enum):
        raise NotFound(f"{cls.__qualname__} is no enum any more")
    try:
        return cls(value)
    except ValueError:
        if value in cls.__members__:
            return cls[value]
        raise NotFound(f"{value!r} is no {cls.__qualname__} any more") from None


def _dataclass_state(value: Any) -> dict[str, Any]:
    names = dict.fromkeys([one.name for one in dataclasses.fields(value)])
    names |= dict.fromkeys(getattr(value, "__dict__", ()))
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _dataclass_object(cls: type, state: Mapping[str, Any]) -> Any:
    """Make the object without calling `__init__`: its state is whole, and code that it does not need stays unrun."""
    if not dataclasses.is_dataclass(cls) or issubclass(cls, nn.Module):
        raise NotFound(f"{cls.__qualname__} is no dataclass any more")
    added = [one for one in dataclasses.fields(cls) if one.name not in state]
    absent = [one.name for one in added if one.default is one.default_factory is dataclasses.MISSING]
    if absent:
        raise NotFound(f"{cls.__qualname__} has fields that the file has no values for: {', '.join(absent)}")
    made = object.__new__(cls)
    for name, item in ({one.name: _default(one) for one in added} | dict(state)).items():
        object.__setattr__(made, name, item)
    return made


def _default(added: dataclasses.Field[Any]) -> Any:
    return added.default if added.default_factory is dataclasses.MISSING else added.default_factory()


def _named_tuple(cls: type, items: Any) -> Any:
    if not issubclass(cls, tuple) or not hasattr(cls, "_fields"):
        raise NotFound(f"{cls.__qualname__} is no named tuple any more")
    return tuple.__new__(cls, items)


def _class_itself(cls: type, _: Any) -> type:
    if not issubclass(cls, STORABLE_CLASSES):
        raise NotFound(f"{cls.__qualname__} is neither a module nor an optimizer nor a scheduler")
    return cls


_LIFT_WITH_CLASS: dict[str, Callable[[type, Any], Any]] = {
    "enum": _enum_member,
    "dataclass": _dataclass_object,
    "namedtuple": _named_tuple,
    "class": _class_itself,
}


# -- values of libraries that may be absent ----------------------------------------------------------------------------


def _lower_numpy(value: Any) -> Lowered | None:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(value, numpy.dtype):
        return Lowered("numpy.dtype", str(value))
    if isinstance(value, (numpy.generic, numpy.ndarray)) and value.dtype.kind in "biufcSU":
        kind = "numpy.scalar" if isinstance(value, numpy.generic) else "numpy.ndarray"
        return Lowered(kind, value.tolist(), str(value.dtype))
    return None


def _numpy_array(value: Any, detail: str) -> Any:
    return importlib.import_module("numpy").array(value, dtype=detail)


def _numpy_dtype(value: Any, _: str) -> Any:
    return importlib.import_module("numpy").dtype(value)


def _lower_omegaconf(value: Any) -> Lowered | None:
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf is None or not isinstance(value, (omegaconf.DictConfig, omegaconf.ListConfig)):
        return None
    return Lowered("omegaconf", omegaconf.OmegaConf.to_container(value, resolve=False))


def _omegaconf(value: Any, _: str) -> Any:
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf is None:
        raise NotFound("it is an OmegaConf container, and omegaconf is not imported")
    return omegaconf.OmegaConf.create(value)


_LIFT_WITH_DETAIL: dict[str, Callable[[Any, str], Any]] = {
    "numpy.scalar": lambda value, detail: _numpy_array(value, detail)[()],
    "numpy.ndarray": _numpy_array,
    "numpy.dtype": _numpy_dtype,
    "omegaconf": _omegaconf,
}
