"""The first place at which two states differ, bit for bit."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_ABSENT = object()


@dataclass(frozen=True)
class Difference:
    """One place at which two states differ."""

    name: str
    """Where: `weights net.0.weight`."""
    reason: str
    """In what, as a clause: `8 of 20 values differ, ...`."""

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def first_difference(expected: Any, found: Any, name: str) -> Difference | None:
    """Return the first place at which nested values differ, or None.

    Numbers and tensors are compared by their bits: equal NaNs are equal, 0.0 and -0.0 are not. Types count as well.
    """
    if isinstance(expected, Tensor) and isinstance(found, Tensor):
        return _of_tensors(expected, found, name)
    if type(expected) is not type(found):
        return Difference(name, f"{_short(expected)} was expected, {_short(found)} came out")
    if isinstance(expected, Mapping):
        return _first(
            first_difference(expected.get(key, _ABSENT), found.get(key, _ABSENT), f"{name} {key}")
            for key in dict.fromkeys([*expected, *found])
        )
    if isinstance(expected, Sequence) and not isinstance(expected, (str, bytes)):
        return _of_sequences(expected, found, name)
    if isinstance(expected, float):
        same = struct.pack("<d", expected) == struct.pack("<d", found)
    else:
        same = bool(expected == found)
    return None if same else Difference(name, f"{_short(expected)} was expected, {_short(found)} came out")


def _of_sequences(expected: Sequence[Any], found: Sequence[Any], name: str) -> Difference | None:
    pairs = zip(expected, found, strict=False)
    difference = _first(first_difference(one, other, f"{name}[{index}]") for index, (one, other) in enumerate(pairs))
    if difference is None and len(expected) != len(found):
        return Difference(name, f"{len(expected)} entries were expected, {len(found)} came out")
    return difference


def _of_tensors(expected: Tensor, found: Tensor, name: str) -> Difference | None:
    if (expected.shape, expected.dtype) != (found.shape, found.dtype):
        return Difference(name, f"{_kind(expected)} was expected, {_kind(found)} came out")
    one, other = _plain(expected), _plain(found)
    # Compared as bytes: NaNs are equal where their bits are.
    equal = (one.reshape(-1, 1).view(torch.uint8) == other.reshape(-1, 1).view(torch.uint8)).all(dim=1)
    wrong = (~equal).nonzero().flatten()
    if not len(wrong):
        return None
    at, count = int(wrong[0]), len(wrong)
    one, other = one.flatten(), other.flatten()
    text = f"{count} of {len(one)} values differ, the first of them {one[at].item()!r} and {other[at].item()!r}"
    if one.is_floating_point():
        gap = (one[wrong].double() - other[wrong].double()).abs().max().item()
        text += f"; they differ by {gap:.3g} at most"
    return Difference(name, text)


def _plain(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu()
    return tensor.dequantize() if tensor.is_quantized else tensor.to_dense().contiguous()


def _kind(tensor: Tensor) -> str:
    return f"a tensor of {tensor.dtype} and shape {tuple(tensor.shape)}"


def _short(value: object) -> str:
    if value is _ABSENT:
        return "nothing"
    if isinstance(value, Tensor):
        return _kind(value)
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _first(differences: Iterable[Difference | None]) -> Difference | None:
    return next((one for one in differences if one is not None), None)
