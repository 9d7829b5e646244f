"""Methods that look like hooks and are none, and hooks that cannot be called as the loop calls them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from fulmen_core._hook_names import REPLACED_HOOKS, nearest_hook
from fulmen_interfaces import Hook, Problem

_STEPS = {
    Hook.TRAINING_STEP.value: ("batch", "batch_idx", "optimizer_idx"),
    Hook.VALIDATION_STEP.value: ("batch", "batch_idx", "dataloader_idx"),
    Hook.TEST_STEP.value: ("batch", "batch_idx", "dataloader_idx"),
    Hook.PREDICT_STEP.value: ("batch", "batch_idx", "dataloader_idx"),
}
_SAID_OF_STEPS = "batch, batch_idx, and an index where there are several loaders or optimizers"
_HOOKS = frozenset(hook.value for hook in Hook)
_MANY = 1000


@dataclass(frozen=True)
class HookProblem(Problem):
    """A problem with a method: `argument` is its class and name, `value` its parameters."""

    def __str__(self) -> str:
        return f"{self.argument}{self.value}: {self.reason} {self.remedy}".rstrip()


def near_miss_hooks(obj: object, base: type) -> list[Problem]:
    """Return a problem for every public method of the user's class that nearly is a hook of `base`.

    Nearly means: a misspelt name, a name of earlier versions, a hook of another kind of object, or parameters with
    which it cannot be called. Helpers of any other name are left alone, and so is a name like that of a hook which the
    class implements, too.
    """
    hooks = [name for name in _HOOKS if callable(getattr(base, name, None))]
    own = dict(_own_functions(type(obj), base))
    problems: list[Problem] = []
    for name, function in own.items():
        if name in hooks:
            problems += _uncallable(obj, base, name, function)
        elif not hasattr(base, name):
            problems += _misnamed(type(obj), name, function, [hook for hook in hooks if hook not in own])
    return problems


def _own_functions(kind: type, base: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public functions that the user's classes define, the most derived first."""
    seen: set[str] = set()
    for cls in kind.__mro__:
        if cls in base.__mro__:
            continue
        for name, value in vars(cls).items():
            function = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
            if isinstance(function, FunctionType) and not name.startswith("_") and name not in seen:
                seen.add(name)
                yield name, function


def _misnamed(kind: type, name: str, function: Callable[..., Any], hooks: list[str]) -> Iterator[Problem]:
    where = f"{kind.__name__}.{name}"
    parameters = inspect.signature(function)
    if name in REPLACED_HOOKS:
        yield HookProblem(where, parameters, "Nothing calls it any more.", REPLACED_HOOKS[name])
    elif name in _HOOKS and name.startswith("on_"):
        yield HookProblem(where, parameters, f"Nothing calls it here: {name} is a hook of {_owner(name)}.")
    else:
        near = nearest_hook(name, hooks)
        if near:
            yield HookProblem(where, parameters, "Nothing calls it: no hook has this name.", f"Did you mean {near}?")


def _owner(name: str) -> str:
    return "the module" if "_model_" in name else "callbacks"


def _uncallable(obj: object, base: type, name: str, function: Callable[..., Any]) -> Iterator[Problem]:
    """Compare how the loop calls a hook with what it takes."""
    try:
        parameters = inspect.signature(getattr(obj, name))
    except (TypeError, ValueError):
        return
    expected = _STEPS.get(name) or _parameters_of(base, name)
    least = len(_always_given(name, expected))
    given = _SAID_OF_STEPS if name in _STEPS else ", ".join(expected) or "nothing"
    required, most, keywords = _capacity(parameters)
    misplaced = _misplaced(parameters, expected)
    shown = expected[:2] if name in _STEPS else expected
    call = f"{name}({', '.join(['self', *shown])})"
    if keywords:
        reason = f"It requires {', '.join(keywords)} as keyword, but hooks are called with positions."
    elif required > len(expected):
        reason = f"It requires {required} argument{'' if required == 1 else 's'}, but is called with {given}."
    elif most < least:
        reason = f"It takes {most or 'no'} argument{'' if most == 1 else 's'}, but is called with {given}."
    elif misplaced:
        reason = f"It takes {', '.join(misplaced)} in another place, but is called with {given}."
    else:
        return
    yield HookProblem(f"{type(obj).__name__}.{name}", inspect.signature(function), reason, f"Write def {call}.")


def _parameters_of(base: type, name: str) -> tuple[str, ...]:
    """Return the arguments that the hook is called with for certain, without `self`."""
    parameters = inspect.signature(getattr(base, name)).parameters.values()
    return tuple(one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD))[1:]


def _always_given(name: str, expected: tuple[str, ...]) -> tuple[str, ...]:
    """Return the arguments that a hook must take: steps may leave out indices, batch hooks that of the loader."""
    if name in _STEPS:
        return expected[:1]
    leaves_out = name.endswith(("_batch_start", "_batch_end"))
    return tuple(one for one in expected if not (leaves_out and one == "dataloader_idx"))


def _misplaced(parameters: inspect.Signature, expected: tuple[str, ...]) -> list[str]:
    """Return the arguments that are taken by their names, but where another is given."""
    places = {name: place for place, name in enumerate(expected)}
    taken = [one for one in parameters.parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
    return [one.name for place, one in enumerate(taken) if places.get(one.name, place) != place]


def _capacity(parameters: inspect.Signature) -> tuple[int, int, list[str]]:
    """Return how many positional arguments a function requires and takes at most, and the keywords that it requires."""
    kinds = list(parameters.parameters.values())
    positional = [one for one in kinds if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    required = sum(one.default is one.empty for one in positional)
    many = any(one.kind is one.VAR_POSITIONAL for one in kinds)
    keywords = [one.name for one in kinds if one.kind is one.KEYWORD_ONLY and one.default is one.empty]
    return required, _MANY if many else len(positional), keywords
