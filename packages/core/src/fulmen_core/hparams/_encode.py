"""Hyper-parameters as a checkpoint holds them: plain values, and notes on what they were.

Plain values stay as they are, so that any program can read them. Of the others, the nearest plain value is stored (a
path's text, an enum's value, a dataclass' fields), and beside them a note says where it lies and how it comes back.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fulmen_core.hparams._references import NotFound, find_class, readable_name
from fulmen_core.hparams._rules import PLAIN_TYPES, lift, lower

_DEPTH_LIMIT = 50
_KEY_TYPES = frozenset({type(None), bool, int, float, str, bytes})

Note = dict[str, Any]
"""`at`: the path to the value, `kind`: the rule, `of`: a class or dtype that the rule needs."""
Path = tuple[Any, ...]


@dataclass(frozen=True)
class EncodedHparams:
    """What a checkpoint holds of hyper-parameters."""

    values: dict[str, Any]
    notes: list[Note]
    left_out: dict[str, str]
    """The parameters that cannot be stored, and what they are."""


@dataclass(frozen=True)
class DecodedHparams:
    """What was read from a checkpoint."""

    values: dict[str, Any]
    failed: dict[str, str] = field(default_factory=dict)
    """The parameters that are not among the values, and why, as a clause."""
    home: str = "__main__"
    """Where classes of the program that wrote the file were looked for."""


class _NotStorable(Exception):
    pass


def encode_hparams(values: Mapping[str, Any]) -> EncodedHparams:
    """Return hyper-parameters so that `torch.load(weights_only=True)` reads them."""
    encoded = EncodedHparams({}, [], {})
    for name, value in values.items():
        notes: list[Note] = []
        try:
            encoded.values[name] = _plain(value, (name,), notes)
            encoded.notes.extend(notes)
        except _NotStorable:
            encoded.left_out[name] = readable_name(value)
            encoded.notes.append({"at": [name], "kind": "left out", "of": readable_name(value)})
    return encoded


def decode_hparams(values: Mapping[str, Any], notes: Sequence[Note] = (), *, home: str = "__main__") -> DecodedHparams:
    """Return hyper-parameters as they were before `encode_hparams`.

    `home` is a module in which classes of the program that wrote the file are looked for.
    """
    by_path: dict[Path, list[Note]] = {}
    for note in notes:
        by_path.setdefault(tuple(note["at"]), []).append(note)
    decoded = DecodedHparams({}, home=home)
    for note in notes:
        if note["kind"] == "left out":
            name = note["at"][0]
            decoded.failed[name] = f"it was left out when the checkpoint was written, being a {note['of']}"
    for name, value in values.items():
        decoded.failed.pop(name, None)
        try:
            decoded.values[name] = _lifted(value, (name,), by_path, home)
        except NotFound as reason:
            decoded.failed[name] = str(reason)
    return decoded


# -- encoding ----------------------------------------------------------------------------------------------------------


def _plain(value: Any, at: Path, notes: list[Note]) -> Any:
    if type(value) in PLAIN_TYPES:
        return value
    if len(at) > _DEPTH_LIMIT:
        raise _NotStorable
    if type(value) in (Tensor, nn.Parameter):
        return value if value.is_leaf else value.detach()
    if type(value) in (list, tuple):
        return type(value)(_plain(item, (*at, index), notes) for index, item in enumerate(value))
    if type(value) is dict:
        return _plain_dict(value, at, notes)
    return _lowered(value, at, notes)


def _plain_dict(value: dict[Any, Any], at: Path, notes: list[Note]) -> Any:
    if all(type(key) in _KEY_TYPES for key in value):
        return {key: _plain(item, (*at, key), notes) for key, item in value.items()}
    notes.append({"at": list(at), "kind": "items"})
    return _plain([list(pair) for pair in value.items()], at, notes)


def _lowered(value: Any, at: Path, notes: list[Note]) -> Any:
    lowered = lower(value)
    if lowered is None:
        return _declared_safe(value)
    if ":" in lowered.detail:
        _check_reference(lowered.detail, value)
    note = {"at": list(at), "kind": lowered.kind}
    notes.append(note | {"of": lowered.detail} if lowered.detail else note)
    return _plain(lowered.value, at, notes)


def _check_reference(reference: str, value: Any) -> None:
    """Refuse what could not be found again, such as a class that was defined in a function."""
    try:
        found = find_class(reference, home="")
    except NotFound:
        raise _NotStorable from None
    if found is not (value if isinstance(value, type) else type(value)):
        raise _NotStorable


def _declared_safe(value: Any) -> Any:
    """Return a value of a type that the user has declared safe to torch, if torch can really read it."""
    if type(value) not in torch.serialization.get_safe_globals():
        raise _NotStorable
    file = io.BytesIO()
    try:
        torch.save(value, file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except Exception:  # whatever the reason, it cannot be read back
        raise _NotStorable from None
    return value


# -- decoding ----------------------------------------------------------------------------------------------------------


def _lifted(value: Any, at: Path, notes: Mapping[Path, Sequence[Note]], home: str) -> Any:
    if type(value) in (list, tuple):
        value = type(value)(_lifted(item, (*at, index), notes, home) for index, item in enumerate(value))
    elif type(value) is dict:
        value = {key: _lifted(item, (*at, key), notes, home) for key, item in value.items()}
    for note in reversed(notes.get(at, ())):
        value = _lift(note, value, home)
    return value


def _lift(note: Note, value: Any, home: str) -> Any:
    try:
        return lift(note["kind"], value, note.get("of", ""), home)
    except (TypeError, ValueError, AttributeError, ArithmeticError, ImportError) as error:
        raise NotFound(f"{value!r} is no {note['kind']}: {error}") from error
