"""Numeric precision: plain data that every strategy applies in its own way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import nn


class DType(str, Enum):
    """Element types, named as torch names them."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"

    def __str__(self) -> str:
        return self.value


ALL_DTYPES = frozenset(DType)


@dataclass(frozen=True)
class PrecisionPolicy:
    """Which element type is used where.

    `autocast=False` means that the module itself is converted to `compute`; `True` that weights stay in
    `parameters` and each operation chooses between `compute` and float32 as `torch.autocast` does.
    """

    name: str
    parameters: DType
    compute: DType
    reduce: DType
    """Gradients are reduced over processes in this type."""
    buffers: DType
    autocast: bool = False
    loss_scaling: bool = False
    """The loss is scaled so that small gradients do not vanish (float16)."""


class GradScaler(Protocol):
    """What strategies use of `torch.amp.GradScaler` and of its sharded relatives."""

    def scale(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the loss times the present scale."""
        ...

    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide that optimizer's gradients by the scale, once before clipping."""
        ...

    def step(self, optimizer: torch.optim.Optimizer) -> Any:
        """Step the optimizer, or skip it where a gradient is not finite."""
        ...

    def update(self) -> None:
        """Adapt the scale, once after all optimizers stepped."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        ...


@runtime_checkable
class Precision(Protocol):
    """A policy made executable. Strategies that have a precision machinery of their own read only `policy`."""

    @property
    def policy(self) -> PrecisionPolicy:
        """The data that this object executes."""
        ...

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Convert weights to the policy's types, in place where possible. Called once per rank, before wrapping."""
        ...

    def input_conversion(self) -> Callable[[Any], Any] | None:
        """Return a function that converts one batch's floating-point tensors, or None where nothing is to be done."""
        ...

    def forward_context(self, device_type: str) -> Callable[[], AbstractContextManager[Any]] | None:
        """Return a factory of the context in which a step runs, or None where none is needed. Asked once per run."""
        ...

    def init_context(self) -> AbstractContextManager[Any]:
        """Return a context in which new modules get weights of the policy's type."""
        ...

    def grad_scaler(self, device_type: str) -> GradScaler | None:
        """Return a new loss scaler, or None where the policy does not scale the loss."""
        ...
