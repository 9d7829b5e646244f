"""Training and evaluation mode around an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluation_mode(
    module: nn.Module, enter: Callable[[], object], leave: Callable[[], object] | None
) -> Iterator[None]:
    """Inside, the module is in the mode to which `enter` takes it. Afterwards `leave` runs, if the user wrote one;
    otherwise every submodule returns to the mode that it had (a frozen part in evaluation mode stays there)."""
    modes = [(part, part.training) for part in module.modules()]
    enter()
    try:
        yield
    finally:
        if leave is not None:
            leave()
        else:
            for part, training in modes:
                part.training = training
