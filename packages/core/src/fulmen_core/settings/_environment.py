"""Arguments from environment variables."""

from __future__ import annotations

import ast
from collections.abc import Mapping

PREFIX = "FULMEN_TRAINER_"

_WORDS = {"true": True, "false": False, "none": None, "null": None}


def arguments_from(environment: Mapping[str, str]) -> dict[str, object]:
    """Return what `FULMEN_TRAINER_MAX_EPOCHS=3` and the like say, by argument."""
    found = {name: text for name, text in environment.items() if name.startswith(PREFIX)}
    return {name.removeprefix(PREFIX).lower(): value_of(text) for name, text in found.items()}


def variable_of(argument: str) -> str:
    """Return the environment variable of an argument."""
    return PREFIX + argument.upper()


def value_of(text: str) -> object:
    """Return the Python value that a text states, or the text itself: `3`, `0.5`, `true`, `[0, 2]`, `ddp`."""
    stripped = text.strip()
    if stripped.lower() in _WORDS:
        return _WORDS[stripped.lower()]
    try:
        value: object = ast.literal_eval(stripped)
    except (ValueError, SyntaxError):
        return stripped
    return value
