"""A model that was set up: how its methods are run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from fulmen_core.fabric._entry import MethodEntry
from fulmen_interfaces import DType, KeepsOwnGradients, ModuleError, PreparedModel

if TYPE_CHECKING:
    from fulmen_core.fabric._optimizer import FabricOptimizer
    from fulmen_core.fabric._session import FabricSession


@dataclass(eq=False)
class SetUpModel:
    """The user's module, made ready by the strategy."""

    module: nn.Module
    entry: MethodEntry
    prepared: PreparedModel
    session: FabricSession
    parameters: dict[str, nn.Parameter]
    """What optimizers step, by name."""
    steps_own_optimizers: bool
    """Whether the strategy steps the very optimizers that the user made."""
    optimizers: list[FabricOptimizer] = field(default_factory=list)
    """Those that were set up for it."""

    def __post_init__(self) -> None:
        prepared = self.prepared
        self._reference = ref(self)
        self._is_trained = bool(prepared.optimizers)
        self._training, self._evaluation = prepared.training_module, prepared.evaluation_module
        self._convert, self._context = prepared.input_conversion, prepared.forward_context
        self._in_fewer_bits = self.session.precision.policy.compute in (DType.FLOAT16, DType.BFLOAT16)

    @property
    def is_wrapped(self) -> bool:
        """Whether methods must go through the strategy: called on the user's module, they would miss something."""
        way_in = self._training if torch.is_grad_enabled() else self._evaluation
        return way_in is not self.entry or type(self.entry) is not MethodEntry

    def run(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a method of the user's module through strategy and precision.

        Where no gradients are recorded, nothing may be synchronised either.
        """
        way_in = self._evaluation
        if torch.is_grad_enabled():
            way_in = self._training
            if self._is_trained:
                self.session.newest = self._reference
        if self._convert is not None:
            args, kwargs = self._convert(args), self._convert(kwargs)
        if self._context is None:
            output = way_in(method, *args, **kwargs)
        else:
            with self._context():
                output = way_in(method, *args, **kwargs)
        return tree_map_only(Tensor, _not_below_default, output) if self._in_fewer_bits else output

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients."""
        self.session.differentiated = self
        try:
            self.prepared.backward(loss, *args, **kwargs)
        finally:
            self.session.differentiated = None

    def guard_backward(self) -> None:
        """Watch for gradients that are computed past precision and strategy, where that would be wrong."""
        if not self.session.precision.policy.loss_scaling and self.steps_own_optimizers:
            return
        for parameter in self.parameters.values():
            if parameter.requires_grad and parameter.is_leaf:
                parameter.register_post_accumulate_grad_hook(self._check_backward)  # type: ignore[no-untyped-call]

    def _check_backward(self, parameter: Tensor) -> None:
        """Let what passes precision or strategy over fail rather than train wrongly."""
        differentiated = self.session.differentiated
        if differentiated is None:
            raise ModuleError(
                f"`loss.backward()` was called, but with precision {self.session.precision.policy.name!r} and strategy "
                f"{self.session.strategy.spec.name!r} gradients are not computed by torch alone. "
                "Call `fabric.backward(loss)` instead."
            )
        if differentiated is not self and isinstance(self.prepared, KeepsOwnGradients):
            own, other = type(self.module).__name__, type(differentiated.module).__name__
            raise ModuleError(
                f"`fabric.backward` computed gradients for {other}, but they reached parameters of {own}, too, and "
                f"{self.session.strategy.spec.name!r} would add them to those of its next step. Say for which model "
                "they are, `fabric.backward(loss, model=model)`, and freeze the other one before the loss is computed: "
                "`other.requires_grad_(False)`, and True again after the step."
            )


def _not_below_default(output: Tensor) -> Tensor:
    """Return what was computed in fewer bits in torch's default type, in which losses and metrics are computed."""
    default = torch.get_default_dtype()
    if output.is_floating_point() and output.dtype.itemsize < default.itemsize:
        return output.to(default)
    return output
