"""Validation by pydantic, with messages of our own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fulmen_core.settings._arguments import SHAPES, Refused
from fulmen_interfaces import Problem


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
        yield from _literals(value.strip())
    elif isinstance(value, float) and value.is_integer():
        yield int(value)
    elif value in (0, 1) and not isinstance(value, bool):
        yield bool(value)


def _literals(text: str) -> Iterator[object]:
    try:
        yield ast.literal_eval(text.capitalize() if text.lower() in ("true", "false", "none") else text)
    except (ValueError, SyntaxError):
        return


def _is_valid(argument: str, value: object) -> bool:
    try:
        _adapter(argument).validate_python(value)
    except ValidationError:
        return False
    return True
