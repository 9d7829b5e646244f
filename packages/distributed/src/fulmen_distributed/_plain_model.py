"""The prepared model of every strategy in which models stay ordinary torch modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer

from fulmen_distributed._loss_scaling import LossScaling, has_gradients
from fulmen_distributed._sharded_state import (
    load_module,
    load_optimizer,
    named_optimizer_state,
    parameter_names,
    parameters_in_order,
)
from fulmen_interfaces import (
    ClipAlgorithm,
    GradientClipping,
    GradScaler,
    Precision,
    SavedOptimizer,
    SavedState,
    StateDictType,
    get_rank,
)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class PlainModel:
    """A model that is ready: what is called, how its gradients become steps, how its state is read.

    Strategies differ in what they pass: the wrapper, its `no_sync`, a sharded scaler, a norm over several processes.
    Several optimizers may share the scaler; it adapts once all of them stepped, or before the next backward.
    """

    module: nn.Module
    """The user's module: its state is the model's state."""
    training_module: nn.Module
    """What is called to train."""
    evaluation_module: nn.Module
    """What is called to evaluate."""
    optimizers: Sequence[Optimizer]
    """In the order in which they were made; empty when evaluating."""
    precision: Precision
    device_type: str
    no_sync: Callable[[], AbstractContextManager[Any]] = nullcontext
    """Makes the context for a batch that does not end an accumulation window."""
    before_backward: Callable[[torch.Tensor], object] | None = None
    """Called with each loss before its gradients are computed."""
    scaler: GradScaler | None = None
    """Scales the loss. ConfigurationError is raised where an optimizer cannot work with one."""
    clip_norm: Callable[[Optimizer, GradientClipping], torch.Tensor] | None = None
    """Bounds the norm of an optimizer's gradients and returns it, where torch's own function does not see them all."""
    has_gradients: Callable[[Optimizer], bool] = has_gradients
    """Whether there are gradients to step with, asked under loss scaling: all ranks must agree."""
    whole_optimizer_state: Callable[[Optimizer], dict[str, Any]] | None = None
    """Makes, on all ranks, an optimizer's state of what they have, where its `state_dict` is this rank's part."""
    state_dict_type: StateDictType = StateDictType.FULL
    """Whether `save_checkpoint` writes a file or a directory."""
    _scaling: LossScaling | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        scaling = None
        if self.scaler is not None:
            name = self.precision.policy.name
            scaling = LossScaling(self.scaler, self.optimizers, precision=name, has_gradients=self.has_gradients)
        object.__setattr__(self, "_scaling", scaling)

    @cached_property
    def forward_context(self) -> Callable[[], AbstractContextManager[Any]] | None:
        """Factory of the context in which a step runs, or None."""
        return self.precision.forward_context(self.device_type)

    @cached_property
    def input_conversion(self) -> Callable[[Any], Any] | None:
        """What converts a batch's element types, or None."""
        return self.precision.input_conversion()

    @cached_property
    def backward(self) -> Callable[..., None]:
        """What computes gradients of a loss; torch's own method where nothing is to be done before."""
        if self._scaling is None and self.before_backward is None:
            return torch.Tensor.backward
        return self._prepared_backward

    def _prepared_backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        if self._scaling is not None:
            loss = self._scaling.scale(loss)
        if self.before_backward is not None:
            self.before_backward(loss)
        loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]

    def unscale_gradients(self, optimizer: Optimizer) -> None:
        """Make that optimizer's gradients the true ones; a second call before the step does nothing."""
        if self._scaling is not None:
            self._scaling.unscale(optimizer)

    def clip_gradients(self, optimizer: Optimizer, clipping: GradientClipping) -> torch.Tensor | None:
        """Bound the optimizer's true gradients; return their norm before, where the bound is one on the norm."""
        self.unscale_gradients(optimizer)
        if clipping.algorithm is ClipAlgorithm.VALUE:
            clip_grad_value_(parameters_in_order(optimizer), clipping.limit)
            return None
        if self.clip_norm is not None:
            return self.clip_norm(optimizer, clipping)
        return clip_grad_norm_(parameters_in_order(optimizer), clipping.limit, clipping.norm_type)

    def step(self, optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
        """Step one optimizer. With a scaler the closure is run once, before, and its value returned."""
        if self._scaling is not None:
            return self._scaling.step(optimizer, closure)
        return optimizer.step() if closure is None else optimizer.step(closure)

    def model_state_dict(self) -> dict[str, Any]:
        """Return the module's state."""
        return self.module.state_dict()

    def load_model_state_dict(self, state: Mapping[str, Any], *, strict: bool = True) -> None:
        """Load the module's state; where `strict`, names that are absent or too many raise RuntimeError."""
        self.module.load_state_dict(state, strict=strict)

    def optimizer_state_dict(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the optimizer's state."""
        return optimizer.state_dict() if self.whole_optimizer_state is None else self.whole_optimizer_state(optimizer)

    def load_optimizer_state_dict(self, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
        """Load the optimizer's state."""
        optimizer.load_state_dict(dict(state))

    def sharded_model_state(self) -> dict[str, Any]:
        """Return the module's state. Buffers may differ between ranks (batch norm), so rank zero alone gives them."""
        state = self.module.state_dict()
        if get_rank() == 0:
            return state
        parameters = dict(self.module.named_parameters(remove_duplicate=False))
        return {name: value for name, value in state.items() if name in parameters}

    def load_sharded_model_state(self, saved: SavedState, *, strict: bool = True) -> None:
        """Load the module's state; where `strict`, names that are absent or too many raise RuntimeError."""
        load_module(self.module, saved, strict=strict)

    def sharded_optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the optimizer's state by name."""
        return named_optimizer_state(optimizer, parameter_names(self.module))

    def load_sharded_optimizer_state(self, optimizer: Optimizer, saved: SavedOptimizer) -> None:
        """Load the optimizer's state."""
        load_optimizer(optimizer, saved, parameter_names(self.module))

    def scaler_state_dict(self) -> dict[str, Any]:
        """Return the scaler's state; empty where there is none. Steps so far are counted in."""
        return {} if self._scaling is None else self._scaling.state_dict()

    def load_scaler_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the scaler's state; without a scaler it is left out."""
        if self._scaling is not None:
            self._scaling.load_state_dict(state)
