"""Letting gradients flow into one optimizer's parameters only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def parameters_of(optimizer: Optimizer) -> Iterator[nn.Parameter]:
    """Yield the parameters that an optimizer updates."""
    for group in optimizer.param_groups:
        yield from group["params"]


class ToggledParameters:
    """Switches `requires_grad` off for what belongs to other optimizers, until `restore`."""

    def __init__(self, optimizer: Optimizer, optimizers: Iterable[Optimizer]) -> None:
        own = set(parameters_of(optimizer))
        self._flags = {
            parameter: parameter.requires_grad
            for other in optimizers
            for parameter in parameters_of(other)
            if parameter not in own
        }
        for parameter in self._flags:
            parameter.requires_grad_(False)

    def restore(self) -> None:
        """Put every flag back to what it was."""
        for parameter, flag in self._flags.items():
            parameter.requires_grad_(flag)
