"""The grammar of `devices=`, and which devices it means on an accelerator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from fulmen_interfaces import AcceleratorSpec, Probe, Problem

DeviceWish: TypeAlias = int | tuple[int, ...] | Literal["auto", "all"]
"""A number of devices, their indices, or a word."""

GRAMMAR = "Write a number (2), indices ([0, 2] or '0,2'), -1 for all, or 'auto'."


def parse_devices(asked: object) -> DeviceWish | Problem:
    """Return what was asked for, or why it has no meaning on any accelerator."""
    if isinstance(asked, str):
        return _parse_text(asked)
    if asked is None:
        return Problem("devices", asked, "None chooses nothing.", "Leave devices out, or write 'auto'.")
    if isinstance(asked, bool) or not isinstance(asked, (int, Sequence)):
        return Problem("devices", asked, f"This {type(asked).__name__} does not say how many devices.", GRAMMAR)
    if isinstance(asked, int):
        return _parse_count(asked, asked)
    return _parse_indices(asked, asked)


def place_devices(asked: object, wish: DeviceWish, spec: AcceleratorSpec, probe: Probe) -> tuple[int, ...] | Problem:
    """Return the indices that a wish means among the devices that are there."""
    if isinstance(wish, tuple):
        return _place_indices(asked, wish, spec, probe)
    if isinstance(wish, str):
        automatic = spec.auto_devices if wish == "auto" else None
        return tuple(range(probe.count if automatic is None else min(automatic, probe.count)))
    if spec.indexed and wish > probe.count:
        reason = f"{_only(probe, spec)}."
        return Problem("devices", asked, reason, f"devices={probe.count} takes all of them.")
    return tuple(range(wish))


def _place_indices(
    asked: object, indices: tuple[int, ...], spec: AcceleratorSpec, probe: Probe
) -> tuple[int, ...] | Problem:
    if not spec.indexed:
        reason = f"Devices of the accelerator {spec.name!r} have no numbers."
        return Problem("devices", asked, reason, f"devices={len(indices)} runs {_processes(len(indices))}.")
    absent = sorted(set(indices) - set(range(probe.count)))
    if absent:
        reason = f"There is no {spec.name} device {', '.join(map(str, absent))}. {_only(probe, spec)}."
        return Problem("devices", asked, reason, f"devices={list(range(probe.count))} takes all of them.")
    return indices


def _parse_text(asked: str) -> DeviceWish | Problem:
    text = asked.strip().lower()
    if text == "auto":
        return "auto"
    if text in ("all", "-1"):
        return "all"
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        return Problem("devices", asked, "That is neither a number nor a list of indices.", GRAMMAR)
    if "," in text:
        return _parse_indices(asked, numbers)
    return _parse_count(asked, numbers[0]) if numbers else Problem("devices", asked, "It is empty.", GRAMMAR)


def _parse_count(asked: object, count: int) -> DeviceWish | Problem:
    if count == -1:
        return "all"
    if count < 1:
        return Problem("devices", asked, "A run needs at least one device.", GRAMMAR)
    return count


def _parse_indices(asked: object, indices: Sequence[object]) -> DeviceWish | Problem:
    if not indices:
        return Problem("devices", asked, "The list names no device.", GRAMMAR)
    numbers = tuple(index for index in indices if isinstance(index, int) and not isinstance(index, bool) and index >= 0)
    if len(numbers) < len(indices):
        return Problem("devices", asked, "The indices of devices are numbers from 0 on.", GRAMMAR)
    if len(set(numbers)) < len(numbers):
        return Problem("devices", asked, "It names a device twice.", f"devices={sorted(set(numbers))} names each once.")
    return numbers


def _only(probe: Probe, spec: AcceleratorSpec) -> str:
    noun = "device exists" if probe.count == 1 else "devices exist"
    return f"Only {probe.count} {spec.name} {noun} here: {', '.join(map(str, range(probe.count)))}"


def _processes(number: int) -> str:
    return "one process" if number == 1 else f"{number} processes"
