"""A precision policy, executed with what torch offers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
from torch import nn

from fulmen_interfaces import DType, GradScaler, PrecisionPolicy
from fulmen_precision._conversion import convert_floats
from fulmen_precision._default_dtype import DefaultDtype

TORCH_DTYPES = {
    DType.FLOAT64: torch.float64,
    DType.FLOAT32: torch.float32,
    DType.FLOAT16: torch.float16,
    DType.BFLOAT16: torch.bfloat16,
}


@final
@dataclass(frozen=True)
class TorchPrecision:
    """Executes any policy: a conversion of the module, or `torch.autocast` and a loss scaler.

    Under a policy of float32 throughout nothing is touched, so a module whose weights are in another type keeps them.
    """

    policy: PrecisionPolicy

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Convert floating-point weights and buffers in place and return the module; autocast leaves it as it is."""
        if self._converts:
            buffers = _float_buffers(module) if self.policy.buffers is not self.policy.compute else []
            _CONVERSIONS[self.policy.compute](module)
            for owner, name, buffer in buffers:
                setattr(owner, name, buffer.to(TORCH_DTYPES[self.policy.buffers]))
        return module

    def input_conversion(self) -> Callable[[Any], Any] | None:
        """Return what converts a batch, or None where the module is not converted either."""
        return partial(convert_floats, dtype=self._compute) if self._converts else None

    def forward_context(self, device_type: str) -> Callable[[], AbstractContextManager[Any]] | None:
        """Return a factory of `torch.autocast`, of a default type for new tensors, or None.

        The cache of autocast is off: with it, gradients of a weight that is used several times in a step are summed
        in the low type.
        """
        if self.policy.autocast:
            return partial(torch.autocast, device_type, dtype=self._compute, cache_enabled=False)
        return partial(DefaultDtype, self._compute) if self._converts else None

    def init_context(self) -> AbstractContextManager[Any]:
        """Return a context in which new modules get weights of the policy's type at once."""
        return DefaultDtype(self._compute) if self._converts else nullcontext()

    def grad_scaler(self, device_type: str) -> GradScaler | None:
        """Return a new `torch.amp.GradScaler` where the policy scales the loss."""
        return torch.amp.GradScaler(device_type) if self.policy.loss_scaling else None

    @property
    def _converts(self) -> bool:
        return not self.policy.autocast and self.policy.compute is not DType.FLOAT32

    @property
    def _compute(self) -> torch.dtype:
        return TORCH_DTYPES[self.policy.compute]


# Unlike `Module.to`, these leave complex weights alone.
_CONVERSIONS: dict[DType, Callable[[nn.Module], nn.Module]] = {
    DType.FLOAT64: nn.Module.double,
    DType.FLOAT16: nn.Module.half,
    DType.BFLOAT16: nn.Module.bfloat16,
}


def _float_buffers(module: nn.Module) -> list[tuple[nn.Module, str, torch.Tensor]]:
    """Every floating-point buffer with the module and the name that hold it."""
    return [
        (owner, name, buffer)
        for owner in module.modules()
        for name, buffer in owner.named_buffers(recurse=False)
        if buffer.is_floating_point()
    ]
