"""Hyper-parameters as loggers can store them: plain values, nested or flat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from numbers import Integral, Real
from typing import TypeAlias

PlainValue: TypeAlias = "bool | int | float | str | list[PlainValue] | dict[str, PlainValue] | None"
"""What every file format can hold."""


def plain_params(params: object) -> dict[str, PlainValue]:
    """Return hyper-parameters (a mapping, a namespace, a dataclass or None) as a dictionary of plain values.

    Enums become their value, functions and classes their dotted name, and what is not plain its text.
    """
    return {str(name): _plain_value(value) for name, value in _members(params).items()}


def flat_params(params: object, separator: str = "/") -> dict[str, PlainValue]:
    """Return them without nesting: the names of nested mappings are joined."""
    flat: dict[str, PlainValue] = {}
    for name, value in plain_params(params).items():
        if isinstance(value, dict):
            nested = flat_params(value, separator)
            flat.update({f"{name}{separator}{inner}": leaf for inner, leaf in nested.items()})
        else:
            flat[name] = value
    return flat


def _plain_value(value: object) -> PlainValue:
    """Return one value as a plain one."""
    if isinstance(value, Enum):
        return _plain_value(value.value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return _exactly(value)
    if isinstance(value, Mapping) or (is_dataclass(value) and not isinstance(value, type)):
        return plain_params(value)
    if isinstance(value, Set):
        return sorted((_plain_value(item) for item in value), key=str)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_plain_value(item) for item in value]
    number = _number(value)
    return _text(value) if number is None else number


def _exactly(value: bool | int | float | str | None) -> PlainValue:
    """Return the value as its built-in type: a subclass (of NumPy, say) would be written with its class."""
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return None


def _number(value: object) -> int | float | None:
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else None


def _text(value: object) -> str:
    if isinstance(value, type) or callable(value):
        module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
        if module and name:
            return str(name) if module == "builtins" else f"{module}.{name}"
    return str(value)


def _members(params: object) -> Mapping[str, object]:
    if params is None:
        return {}
    if isinstance(params, Mapping):
        return params
    if is_dataclass(params):
        return {field.name: getattr(params, field.name) for field in fields(params)}
    return vars(params)
