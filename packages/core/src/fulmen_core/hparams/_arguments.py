"""What an object was made with, read from the frames in which its `__init__` runs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass(frozen=True)
class InitArguments:
    """What `__init__` was given."""

    values: dict[str, Any]
    """Of all classes of the object."""
    outermost: tuple[str, ...]
    """Those of the outermost `__init__`: what has to be given to make the object again."""


def init_arguments(made: object, frame: FrameType | None) -> InitArguments:
    """Return the arguments of every `__init__` of `made` that is running at or above `frame`, by name.

    Where several classes of one object take an argument of the same name, the outermost `__init__` counts. Values are
    those that the names have now. `**kwargs` are merged in, `*args` have no names and are left out.
    """
    collected: dict[str, Any] = {}
    outermost: dict[str, Any] = {}
    for running in _init_frames(made, frame):
        outermost = _arguments_of(running)
        collected |= outermost
    return InitArguments(collected, tuple(outermost))


def _init_frames(made: object, frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__init__" and code.co_argcount and frame.f_locals.get(code.co_varnames[0]) is made:
            yield frame
        frame = frame.f_back


def _arguments_of(frame: FrameType) -> dict[str, Any]:
    values = inspect.getargvalues(frame)
    named = {name: values.locals[name] for name in values.args[1:] if name in values.locals}
    return named | (values.locals.get(values.keywords, {}) if values.keywords else {})
