"""Two streams: one computes, one copies. Copies on the latter are not there before somebody waits for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class SimStreams:
    """Which stream is current, and which copies are under way."""

    def __init__(self) -> None:
        self.copying = False
        """Whether the copy stream is the current one."""
        self.waits = 0
        self._under_way: list[tuple[torch.Tensor, torch.Tensor]] = []

    @contextmanager
    def copy_stream(self) -> Iterator[None]:
        """Inside, the copy stream is the current one."""
        before, self.copying = self.copying, True
        try:
            yield
        finally:
            self.copying = before

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Copy between two views of memory: at once, or, on the copy stream, when somebody waits for it."""
        if not self.copying:
            target.copy_(source)
            return
        spoil(target)
        self._under_way.append((target, source.clone()))

    def wait(self) -> None:
        """Let all copies arrive that were issued so far."""
        self.waits += 1
        for target, source in self._under_way:
            target.copy_(source)
        self._under_way.clear()


def spoil(target: torch.Tensor) -> None:
    """Fill memory with what cannot be mistaken for data."""
    if target.dtype.is_floating_point or target.dtype.is_complex:
        target.fill_(float("nan"))
    elif target.dtype is not torch.bool:
        target.fill_(torch.iinfo(target.dtype).max)
