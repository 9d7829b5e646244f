"""From a batch to new weights: what one training batch does to gradients and optimizers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from fulmen_core.logging import Recorder, Scope
from fulmen_core.loop._hook_table import HookCall
from fulmen_core.loop._outputs import detached_outputs, loss_of, trainable
from fulmen_core.loop._profile import Profiling
from fulmen_core.loop._progress import FitProgress
from fulmen_core.loop._steps import StepCall
from fulmen_core.loop._window import AccumulationWindow
from fulmen_core.module import LightningOptimizer, ToggledParameters
from fulmen_interfaces import PreparedModel


class Optimisation(Protocol):
    """What the loop calls with each training batch."""

    def __call__(self, batch: Any, batch_idx: int) -> Any:
        """Run the step and whatever follows from its loss; return what `on_train_batch_end` receives."""
        ...


@dataclass(frozen=True)
class OptimiserHooks:
    """The hooks around backward and step; each is a call that does nothing where nobody implements it."""

    before_zero_grad: HookCall
    before_backward: HookCall
    after_backward: HookCall
    before_optimizer_step: HookCall
    clip: HookCall
    """`configure_gradient_clipping` as overridden, or the configured clipping, or nothing."""
    zero_grad: HookCall | None
    """`optimizer_zero_grad` where it is overridden."""
    backward: HookCall | None
    """`backward` where it is overridden."""
    optimizer_step: HookCall | None
    """`optimizer_step` where it is overridden."""
    zero_grad_unseen: bool
    """Whether no hook is called when gradients are cleared, and no profiler measures it."""
    keep_outputs: bool
    """Whether anybody receives the step's outputs."""


class GradientSteps:
    """Backward, unscaling, clipping and stepping, each with its hooks; shared by all ways to optimise."""

    def __init__(
        self, prepared: PreparedModel, hooks: OptimiserHooks, progress: FitProgress, profiling: Profiling
    ) -> None:
        self.hooks = hooks
        self.prepared = prepared
        self._progress = progress
        self._backward = profiling.wrap("backward", hooks.backward or prepared.backward)
        self._step = profiling.wrap("optimizer_step", prepared.step)
        self._zero_grad = profiling.wrap("optimizer_zero_grad", hooks.zero_grad or _zero_grad)
        self.clip_gradients = profiling.wrap("clip_gradients", prepared.clip_gradients)
        """Bounds gradients where a user asks for it."""

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients."""
        self.hooks.before_backward(loss)
        self._backward(loss, *args, **kwargs)
        self.hooks.after_backward()

    def zero_grad(self, optimizer: Optimizer, batch_idx: int) -> None:
        """Clear gradients."""
        self.hooks.before_zero_grad(optimizer)
        self._zero_grad(self._progress.epoch, batch_idx, optimizer)

    def finish(self, optimizer: Optimizer) -> None:
        """Make gradients ready for a step: unscaled, seen by hooks, clipped."""
        self.prepared.unscale_gradients(optimizer)
        self.hooks.before_optimizer_step(optimizer)
        self.hooks.clip(optimizer)

    def step(self, optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
        """Step and count."""
        result = self._step(optimizer, closure)
        self._progress.global_step += 1
        return result


def _zero_grad(epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
    optimizer.zero_grad()


class AutomaticOptimisation:
    """One optimizer, stepped by the Trainer: forward, backward, clip and step in sequence.

    The closure form, in which the optimizer calls the step, is used where the optimizer (LBFGS) or an overridden
    `optimizer_step` asks for it.
    """

    def __init__(
        self,
        optimizer: LightningOptimizer,
        *,
        step: StepCall,
        gradients: GradientSteps,
        window: AccumulationWindow,
        by_closure: bool,
        recorder: Recorder,
        scope: Scope,
        progress: FitProgress,
    ) -> None:
        self._wrapped = optimizer
        self._optimizer = optimizer.optimizer
        self._step = step
        self._gradients = gradients
        self._window = window
        self._by_closure = by_closure or gradients.hooks.optimizer_step is not None
        self._recorder = recorder
        self._scope = scope
        self._progress = progress
        self._keep_outputs = gradients.hooks.keep_outputs or self._by_closure
        # Where nobody sees the moment, memory is freed before the forward pass takes its own.
        self._clears_first = gradients.hooks.zero_grad_unseen and not self._by_closure

    def __call__(self, batch: Any, batch_idx: int, *extra: Any) -> Any:
        """Run one batch within the present window; `extra` goes to the step."""
        window = self._window
        self._recorder.scope = self._scope
        if window.opens and self._clears_first:
            self._optimizer.zero_grad()
        if not window.closes:
            with self._gradients.prepared.no_sync():
                return self._backward(self._step(batch, batch_idx, *extra), batch_idx)
        if self._by_closure:
            return self._step_by_closure(batch, batch_idx, *extra)
        outputs = self._backward(self._step(batch, batch_idx, *extra), batch_idx)
        self._finish()
        self._gradients.step(self._optimizer)
        return outputs

    def _backward(self, returned: Any, batch_idx: int) -> Any:
        window, gradients = self._window, self._gradients
        loss = returned if type(returned) is Tensor else loss_of(returned)
        if window.opens and not self._clears_first:
            gradients.zero_grad(self._optimizer, batch_idx)
        if loss is None:
            return {}
        if window.divisor != 1:
            loss = loss / window.divisor
        if not loss.requires_grad or loss.dim():
            loss = trainable(loss)
        gradients.backward(loss)
        return detached_outputs(returned, loss) if self._keep_outputs else None

    def _finish(self) -> None:
        window = self._window
        if window.size != 1 and (correction := window.correction) != 1.0:
            for parameter in self._parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(correction)
        self._gradients.finish(self._optimizer)

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self._optimizer.param_groups for parameter in group["params"]]

    def _step_by_closure(self, batch: Any, batch_idx: int, *extra: Any) -> Any:
        outputs: Any = {}

        def closure() -> Tensor | None:
            nonlocal outputs
            with torch.enable_grad():
                self._recorder.scope = self._scope
                outputs = self._backward(self._step(batch, batch_idx, *extra), batch_idx)
                self._finish()
            return outputs.get("loss") if isinstance(outputs, dict) else None

        override = self._gradients.hooks.optimizer_step
        if override is None:
            self._gradients.step(self._optimizer, closure)
        else:
            override(self._progress.epoch, batch_idx, self._wrapped, closure)
        return outputs


class SeveralOptimisers:
    """Several optimizers in automatic mode: every batch runs the step once for each, with its index.

    While one has its turn, parameters that belong to others only take no gradients.
    """

    def __init__(self, turns: Sequence[AutomaticOptimisation], optimizers: Sequence[Optimizer]) -> None:
        self._turns = turns
        self._optimizers = optimizers

    def __call__(self, batch: Any, batch_idx: int) -> Any:
        """Run one batch; returns the outputs by optimizer."""
        outputs = []
        for index, (turn, optimizer) in enumerate(zip(self._turns, self._optimizers, strict=True)):
            toggled = ToggledParameters(optimizer, self._optimizers)
            try:
                outputs.append(turn(batch, batch_idx, index))
            finally:
                toggled.restore()
        return outputs


class ManualOptimisation:
    """The user's step calls backward and steps itself."""

    def __init__(self, *, step: StepCall, recorder: Recorder, scope: Scope, keep_outputs: bool) -> None:
        self._step = step
        self._recorder = recorder
        self._scope = scope
        self._keep_outputs = keep_outputs

    def __call__(self, batch: Any, batch_idx: int) -> Any:
        """Run one batch."""
        self._recorder.scope = self._scope
        returned = self._step(batch, batch_idx)
        loss = loss_of(returned, manual=True)
        return detached_outputs(returned, loss) if self._keep_outputs else None
