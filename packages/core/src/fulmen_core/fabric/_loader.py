"""The loader as Fabric hands it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch

from fulmen_core.data import DevicePrefetch, length_of, prefetch_to_device, set_epoch


class FabricDataLoader:
    """Reads this rank's part of a loader and gives batches on the device.

    Each iteration is an epoch: samplers and data sets with a `set_epoch` are told its number, from 0, or from what
    `set_epoch` said last. Attributes are those of the user's loader, which is `loader`.
    """

    def __init__(
        self,
        loader: Any,
        part: Any,
        move: Callable[[Any], Any] | None,
        prefetch: DevicePrefetch | None,
        around: Callable[[], AbstractContextManager[Any]],
        device: torch.device | None,
    ) -> None:
        self.loader = loader
        self.device = device
        """Where batches are when they come; None: where the user's loader leaves them."""
        self._part = part
        self._move = move
        self._prefetch = prefetch
        self._around = around
        self._epoch = 0

    def __iter__(self) -> Iterator[Any]:
        set_epoch(self._part, self._epoch)
        self._epoch += 1
        with self._around():
            if self._prefetch is not None:
                yield from prefetch_to_device(iter(self._part), self._prefetch)
            else:
                yield from self._part if self._move is None else map(self._move, self._part)

    def __len__(self) -> int:
        return len(self._part)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next iteration is; needed only where training goes on from a checkpoint."""
        self._epoch = epoch

    def __getattr__(self, name: str) -> Any:
        if "loader" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.loader, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.loader!r}, batches={length_of(self._part)})"
