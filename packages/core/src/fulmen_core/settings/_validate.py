"""Validation by pydantic, with messages of our own."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fulmen_core.settings._arguments import SHAPES, Refused
from fulmen_interfaces import Problem

_WORDS: Mapping[str, object] = {
    **dict.fromkeys(["true", "yes", "on"], True),
    **dict.fromkeys(["false", "no", "off"], False),
    **dict.fromkeys(["inf", "infinity", "unlimited"], -1),
    "none": None,
}
"""What words stand for that were given where there is a better way to say it."""


def validate(given: dict[str, object]) -> tuple[dict[str, Any], list[Problem]]:
    """Return the converted values of all arguments that are right, and a problem for each that is not."""
    right: dict[str, Any] = {}
    problems = []
    for argument, value in given.items():
        try:
            right[argument] = _adapter(argument).validate_python(value)
        except ValidationError as error:
            problems.append(_problem(argument, value, error))
    return right, problems


@cache
def _adapter(argument: str) -> TypeAdapter[Any]:
    return TypeAdapter(SHAPES[argument].kind)


def _problem(argument: str, value: object, error: ValidationError) -> Problem:
    shape = SHAPES[argument]
    causes = [detail.get("ctx", {}).get("error") for detail in error.errors()]
    for cause in causes:
        if isinstance(cause, Refused):
            return Problem(argument, value, cause.reason, cause.remedy or f"It must be {shape.text}.")
    for meant in _readings(value):
        if _is_valid(argument, meant):
            return Problem(argument, value, f"It must be {shape.text}.", f"Write {argument}={meant!r}.")
    return Problem(argument, value, f"It must be {shape.text}.", f"For example {argument}={shape.example!r}.")


def _readings(value: object) -> Iterator[object]:
    """What a value of the wrong type may have been meant to be."""
    if isinstance(value, str):
        yield from _readings_of_text(value.strip().lower())
    elif value is None or (isinstance(value, float) and math.isinf(value)):
        yield -1
    elif isinstance(value, float) and value.is_integer():
        yield int(value)
    elif type(value) is int and value in (0, 1):
        yield bool(value)


def _readings_of_text(text: str) -> Iterator[object]:
    if text in _WORDS:
        yield _WORDS[text]
    try:
        yield float(text[:-1]) / 100 if text.endswith("%") else ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return


def _is_valid(argument: str, value: object) -> bool:
    try:
        _adapter(argument).validate_python(value)
    except ValidationError:
        return False
    return True
