"""Bringing a batch to the device: which hooks take part is decided once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from fulmen_core.batches import DataHooks, overrides_data_hook, transfer_function
from fulmen_core.data import DevicePrefetch
from fulmen_core.loop import RunParts, Transfer
from fulmen_interfaces import Hook, PreparedModel, SupportsAsyncTransfer

_TRANSFER_HOOKS = (Hook.ON_BEFORE_BATCH_TRANSFER, Hook.TRANSFER_BATCH_TO_DEVICE, Hook.ON_AFTER_BATCH_TRANSFER)


def make_transfer(module: DataHooks, datamodule: Any, prepared: PreparedModel, device: torch.device) -> Transfer | None:
    """Return what brings a batch to the device, or None where batches can be used as they come.

    A hook that the data module overrides is taken from there, otherwise the module's own is.
    """
    parts: list[Transfer] = []
    conversion = prepared.input_conversion
    if conversion is not None:
        parts.append(_without_index(conversion))
    before = _overridden(module, datamodule, Hook.ON_BEFORE_BATCH_TRANSFER)
    if before is not None:
        parts.append(before)
    move = _overridden(module, datamodule, Hook.TRANSFER_BATCH_TO_DEVICE)
    default_move = transfer_function(device)
    if move is not None:
        parts.append(_on_device(move, device))
    elif default_move is not None:
        parts.append(_without_index(default_move))
    after = _overridden(module, datamodule, Hook.ON_AFTER_BATCH_TRANSFER)
    if after is not None:
        parts.append(after)
    if len(parts) <= 1:
        return parts[0] if parts else None
    return _in_sequence(parts)


def make_prefetch(parts: RunParts) -> DevicePrefetch | None:
    """Return what copies batches ahead while others are computed with.

    None where the accelerator has no streams for that, or where a hook of the user's takes part in the transfer: hooks
    are called for one batch after the other. Objects that move themselves are left to the transfer, which follows: what
    they hold cannot be seen, so its memory could be used for the next copy too early.
    """
    move, accelerator = transfer_function(parts.device, objects=False), parts.accelerator
    if move is None or not isinstance(accelerator, SupportsAsyncTransfer):
        return None
    if any(_overridden(parts.module, parts.datamodule, hook) is not None for hook in _TRANSFER_HOOKS):
        return None
    return DevicePrefetch(parts.profiling.wrap("batch_to_device", move), accelerator, parts.device)


def shadowed_hooks(module: DataHooks, datamodule: Any) -> list[Hook]:
    """Return the hooks of the transfer that the module overrides in vain: the data module's take their place."""
    return [hook for hook in _TRANSFER_HOOKS if _overrides(module, hook) and _overrides(datamodule, hook)]


def _overridden(module: DataHooks, datamodule: Any, hook: Hook) -> Callable[..., Any] | None:
    for owner in (datamodule, module):
        if _overrides(owner, hook):
            method: Callable[..., Any] = getattr(owner, hook.value)
            return method
    return None


def _overrides(owner: Any, hook: Hook) -> bool:
    return isinstance(owner, DataHooks) and overrides_data_hook(owner, hook.value)


def _without_index(call: Callable[[Any], Any]) -> Transfer:
    return lambda batch, loader_idx: call(batch)


def _on_device(move: Callable[..., Any], device: torch.device) -> Transfer:
    return lambda batch, loader_idx: move(batch, device, loader_idx)


def _in_sequence(parts: list[Transfer]) -> Transfer:
    def transfer(batch: Any, loader_idx: int) -> Any:
        for part in parts:
            batch = part(batch, loader_idx)
        return batch

    return transfer
