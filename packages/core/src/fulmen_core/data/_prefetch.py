"""Copying the next batch to the device while the present one is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from fulmen_core.data._tree import tensors_of
from fulmen_interfaces import SupportsAsyncTransfer

_END = object()


class DevicePrefetch:
    """Copies batches on a stream of their own, in two halves: `start` issues a copy, `finish` makes it safe to use.

    Copies overlap with computing only from pinned memory (`DataLoader(pin_memory=True)`).
    """

    def __init__(self, move: Callable[[Any], Any], accelerator: SupportsAsyncTransfer, device: torch.device) -> None:
        self._move = move
        self._accelerator = accelerator
        self._device = device

    def start(self, batch: Any) -> Any:
        """Return the batch on the device. It must not be used before `finish`."""
        with self._accelerator.copy_stream(self._device):
            return self._move(batch)

    def finish(self, batch: Any) -> Any:
        """Return the batch once computing waits for its copy. A copy started before this is waited for, too."""
        self._accelerator.wait_for_copies(self._device)
        for tensor in tensors_of(batch):
            if tensor.device == self._device:
                self._accelerator.keep_alive(tensor)
        return batch


def prefetch_to_device(batches: Iterator[Any], prefetch: DevicePrefetch) -> Iterator[Any]:
    """Yield the batches on the device; the copy of each is issued before the one in front of it is given.

    It reads one batch ahead of what it gave: for evaluation, and for loops without a position. For training, give the
    `DevicePrefetch` to the `TrainingCursor`, whose position stays right.
    """
    upcoming: Any = _END
    for batch in batches:
        if upcoming is not _END:
            ready = prefetch.finish(upcoming)
            upcoming = prefetch.start(batch)
            yield ready
        else:
            upcoming = prefetch.start(batch)
    if upcoming is not _END:
        yield prefetch.finish(upcoming)
