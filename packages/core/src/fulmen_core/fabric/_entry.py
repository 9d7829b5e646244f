"""What strategies wrap: a module whose `forward` runs any method of the user's module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

FORWARD = "forward"


class MethodEntry(nn.Module):
    """Contains the user's module and runs its methods by name.

    Args:
        module: the user's module, not compiled.
        call: what a call of the module itself is: the module, or what `torch.compile` made of it.
    """

    def __init__(self, module: nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.module = module
        self._calls = {FORWARD: call}  # in a dict, where torch does not take it for another submodule

    def forward(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Run a method."""
        call = self._calls.get(method)
        if call is None:
            call = getattr(self.module, method)
        return call(*args, **kwargs)
