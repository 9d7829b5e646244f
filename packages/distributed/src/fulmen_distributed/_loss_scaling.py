"""Loss scaling: which gradients are true at this moment, and when the scale may change."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from fulmen_interfaces import ConfigurationError, GradScaler, ModuleError, Problem

if TYPE_CHECKING:
    import torch
    from torch.optim import Optimizer


@final
class LossScaling:
    """A scaler, and what was done with it since its last update.

    The scale may change only while no gradient computed with it waits for its step. So the scaler is updated once
    every optimizer has stepped, or, where only some of them step, right before the next loss is scaled.
    """

    def __init__(
        self,
        scaler: GradScaler,
        optimizers: Sequence[Optimizer],
        *,
        precision: str,
        has_gradients: Callable[[Optimizer], bool],
    ) -> None:
        refuse_repeating_optimizers(optimizers, precision)
        self._scaler = scaler
        self._has_gradients = has_gradients
        self._count = len(optimizers)
        self._unscaled: dict[int, Optimizer] = {}
        self._stepped: set[int] = set()
        self._left_behind: set[int] = set()

    def scale(self, loss: torch.Tensor) -> torch.Tensor:
        """Return the loss to compute gradients from."""
        self._left_behind = self._waiting()
        self._end_round_unless_waiting()
        return self._scaler.scale(loss)

    def unscale(self, optimizer: Optimizer) -> None:
        """Make that optimizer's gradients the true ones, unless they are."""
        if id(optimizer) in self._left_behind:
            raise ModuleError(
                f"Gradients of {type(optimizer).__name__} were made the true ones (unscaled, clipped) and then more "
                "were computed: true and scaled ones cannot be added. Clip only right before the step, and clear "
                "gradients of a step that is left out with `zero_grad(set_to_none=True)`."
            )
        if id(optimizer) not in self._unscaled and self._has_gradients(optimizer):
            self._scaler.unscale_(optimizer)
            self._unscaled[id(optimizer)] = optimizer

    def step(self, optimizer: Optimizer, closure: Callable[[], Any] | None) -> Any:
        """Step, or leave the step out where a gradient is not finite. The closure is run once, before."""
        loss = closure() if closure is not None else None
        # A scaler fails where there is no gradient to look at; without one, such a step is allowed.
        result = self._scaled_step(optimizer) if self._has_gradients(optimizer) else optimizer.step()
        return result if closure is None else loss

    def state_dict(self) -> dict[str, Any]:
        """Return the scaler's state as it is for the next step."""
        self._end_round_unless_waiting()
        return self._scaler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore it. Empty state, from a run that scaled nothing, leaves the scaler as it is."""
        if state:
            self._scaler.load_state_dict(dict(state))

    def _scaled_step(self, optimizer: Optimizer) -> Any:
        result = self._scaler.step(optimizer)
        self._stepped.add(id(optimizer))
        if len(self._stepped) >= self._count:
            self._end_round()
        return result

    def _waiting(self) -> set[int]:
        """Which optimizers hold true gradients that they have not stepped with."""
        return {key for key, one in self._unscaled.items() if key not in self._stepped and self._has_gradients(one)}

    def _end_round_unless_waiting(self) -> None:
        if not self._waiting():
            self._end_round()

    def _end_round(self) -> None:
        if self._stepped or self._unscaled:
            self._scaler.update()
        self._stepped.clear()
        self._unscaled.clear()


def has_gradients(optimizer: Optimizer) -> bool:
    """Return whether any of the optimizer's parameters has a gradient."""
    return any(parameter.grad is not None for group in optimizer.param_groups for parameter in group["params"])


def refuse_repeating_optimizers(optimizers: Iterable[Optimizer], precision: str) -> None:
    """Raise ConfigurationError where a step computes the loss several times: a skipped step cannot be told there."""
    names = [type(optimizer).__name__ for optimizer in optimizers if requires_closure(optimizer)]
    if names:
        problem = Problem(
            "precision",
            precision,
            f"It scales the loss, and {' and '.join(names)} computes the loss several times within one step, between "
            "which the scale cannot be adapted.",
            "Use precision='bf16-mixed' or '32-true', or an optimizer whose `step` needs no closure.",
        )
        raise ConfigurationError([problem])


def requires_closure(optimizer: Optimizer) -> bool:
    """Return whether `step` cannot be called without a closure (LBFGS)."""
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty
