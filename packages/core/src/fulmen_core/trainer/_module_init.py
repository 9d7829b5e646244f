"""Making modules where they will be trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fulmen_interfaces import Precision, Strategy, SupportsModuleInit


@contextmanager
def module_init(
    strategy: Strategy, precision: Precision, device: torch.device, *, empty: bool = False
) -> Iterator[None]:
    """Inside, new modules lie on the device in the precision's type, where `empty` without computed initial weights."""
    placed = strategy.init_context(device, empty=empty) if isinstance(strategy, SupportsModuleInit) else device
    with precision.init_context(), placed:
        yield
