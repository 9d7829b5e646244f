"""Generators that objects own: `DataLoader(generator=...)`, `sampler.generator`, `dataset.rng` and the like."""

from __future__ import annotations

import functools
import random
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from multiprocessing.process import BaseProcess
from threading import Thread
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import torch

from fulmen_core.random._plain import from_plain, same, to_plain

_MAX_DEPTH = 6
_MAX_OBJECTS = 2000
_MAX_ITEMS = 32  # longer lists and dicts hold data, not parts
_LEAVES = (
    *(type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, BaseProcess, Thread),
    *(str, bytes, int, float, torch.Tensor, torch.nn.Module),
)


def find_generators(owner: object) -> dict[str, Any]:
    """Return the generators (torch's, NumPy's, Python's) of an object and its parts, by path: `sampler.generator`.

    Attributes and short lists, tuples and dicts are searched; modules, functions, tensors and processes are not.
    """
    found: dict[str, Any] = {}
    seen: set[int] = set()
    waiting: deque[tuple[str, object, int]] = deque([("", owner, 0)])
    while waiting and len(seen) < _MAX_OBJECTS:
        path, value, depth = waiting.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if _kind(value):
            found[path] = value
        elif depth < _MAX_DEPTH and not isinstance(value, _LEAVES):
            waiting += [(f"{path}.{name}".lstrip("."), part, depth + 1) for name, part in _parts(value)]
    return found


def capture_generators(owner: object) -> dict[str, Any]:
    """Return the states of the generators that an object holds, as plain values and tensors, by path."""
    return generator_states(find_generators(owner))


def generator_states(generators: Mapping[str, Any]) -> dict[str, Any]:
    """Return the states of generators that `find_generators` found; finding them takes longer than this."""
    return {path: {"kind": _kind(found), "state": _state(found)} for path, found in generators.items()}


def restore_generators(owner: object, states: Mapping[str, Any]) -> None:
    """Put an object's generators into the states that `capture_generators` returned, where they are still there."""
    if not states:
        return
    for path, found in find_generators(owner).items():
        if path in states and states[path]["kind"] == _kind(found):
            _set_state(found, states[path]["state"])


def same_generators(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether nobody drew a number between two results of `capture_generators`, and no generator came or went."""
    return same(dict(one), dict(other))


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, functools.partial):
        yield from (("args", value.args), ("keywords", value.keywords))
    elif isinstance(value, dict):
        if len(value) <= _MAX_ITEMS:
            yield from ((str(name), part) for name, part in value.items())
    elif isinstance(value, (list, tuple)):
        if len(value) <= _MAX_ITEMS:
            yield from ((str(index), part) for index, part in enumerate(value))
    else:
        # torch's own objects keep queues, iterators and processes in private attributes.
        foreign = type(value).__module__.startswith("torch.")
        for name, part in getattr(value, "__dict__", {}).items():
            if not (foreign and name.startswith("_")):
                yield name, part


def _kind(value: object) -> str:
    """Return what sort of generator this is; empty if it is none."""
    if isinstance(value, torch.Generator):
        return "torch"
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        return "python"
    numpy = sys.modules.get("numpy.random")
    if numpy is not None and isinstance(value, numpy.Generator):
        return "numpy"
    if numpy is not None and isinstance(value, numpy.RandomState):
        return "numpy_legacy"
    return ""


def _state(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, random.Random):
        return generator.getstate()
    if _kind(generator) == "numpy":
        return to_plain(generator.bit_generator.state)
    return to_plain(generator.get_state(legacy=False))


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state.cpu())
    elif isinstance(generator, random.Random):
        version, words, gauss = state
        generator.setstate((version, tuple(words), gauss))
    elif _kind(generator) == "numpy":
        generator.bit_generator.state = from_plain(state)
    else:
        generator.set_state(from_plain(state))
