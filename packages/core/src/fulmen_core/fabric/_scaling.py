"""One loss scaler for all models of a Fabric."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, final

from fulmen_interfaces import GradScaler, Precision, PrecisionPolicy

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer


@final
class JointPrecision:
    """A precision whose loss scaler is the same for every model: one loss may depend on several of them."""

    def __init__(self, precision: Precision) -> None:
        self._precision = precision
        self._scaler: JointScaler | None = None

    @property
    def policy(self) -> PrecisionPolicy:
        """That of the precision."""
        return self._precision.policy

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Convert weights as the precision does."""
        return self._precision.convert_module(module)

    def input_conversion(self) -> Callable[[Any], Any] | None:
        """What converts a batch."""
        return self._precision.input_conversion()

    def forward_context(self, device_type: str) -> Callable[[], AbstractContextManager[Any]] | None:
        """The context in which a step runs."""
        return self._precision.forward_context(device_type)

    def init_context(self) -> AbstractContextManager[Any]:
        """The context in which modules are made."""
        return self._precision.init_context()

    def grad_scaler(self, device_type: str) -> GradScaler | None:
        """Return the scaler that all models share."""
        if self._scaler is None:
            made = self._precision.grad_scaler(device_type)
            self._scaler = None if made is None else JointScaler(made)
        return self._scaler


@final
class JointScaler:
    """A loss scaler that several models use.

    Each of them asks for an update when its own optimizers have stepped, while gradients of another may still wait for
    their step. So the scale changes right before the next loss is scaled, when nobody needs the old one any more.
    """

    def __init__(self, scaler: GradScaler) -> None:
        self._scaler = scaler
        self._is_due = False
        self._stepped: set[int] = set()

    def scale(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the loss times the scale."""
        self._settle()
        return self._scaler.scale(outputs)

    def unscale_(self, optimizer: Optimizer) -> None:
        """Make that optimizer's gradients the true ones."""
        self._settle_for(optimizer)
        self._scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer) -> Any:
        """Step, or skip the step where a gradient is not finite."""
        self._settle_for(optimizer)
        self._stepped.add(id(optimizer))
        return self._scaler.step(optimizer)

    def update(self) -> None:
        """Adapt the scale before it is used next."""
        self._is_due = True

    def state_dict(self) -> dict[str, Any]:
        """Return the state as it is for the next loss."""
        self._settle()
        return self._scaler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it."""
        self._scaler.load_state_dict(state_dict)

    def _settle_for(self, optimizer: Optimizer) -> None:
        if id(optimizer) in self._stepped:
            self._settle()

    def _settle(self) -> None:
        if self._is_due:
            self._scaler.update()
            self._is_due = False
            self._stepped.clear()
