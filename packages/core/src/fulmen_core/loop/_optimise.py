"""From a batch to new weights: what one training batch does to gradients and optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from fulmen_core.logging import Recorder, Scope
from fulmen_core.loop._hook_table import HookCall, in_turn, nothing
from fulmen_core.loop._outputs import detached_outputs, loss_of, trainable
from fulmen_core.loop._profile import Profiling
from fulmen_core.loop._progress import FitProgress
from fulmen_core.loop._steps import StepCall
from fulmen_core.loop._window import AccumulationWindow
from fulmen_core.module import LightningOptimizer, ToggledParameters
from fulmen_interfaces import KeepsOwnGradients, ModuleError, PreparedModel, rank_zero_warn


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
        self._held: int | None = None
        """Steps that do not count yet; None: each counts at once."""
        self.step_uncounted = profiling.wrap("optimizer_step", prepared.step)
        """Steps an optimizer; whoever calls it counts."""
        self._zero_grad = profiling.wrap("optimizer_zero_grad", hooks.zero_grad or _zero_grad)
        self.backward = _backward_with_hooks(
            hooks.before_backward,
            profiling.wrap("backward", hooks.backward or prepared.backward),
            hooks.after_backward,
        )
        """Computes gradients; arguments are those of `Tensor.backward`, the loss in front."""
        seen = in_turn(hooks.before_optimizer_step, hooks.clip)
        self.finish = nothing if seen is nothing else in_turn(prepared.unscale_gradients, seen)
        """Shows an optimizer's gradients to hooks and bounds them. Where nobody looks, the step alone unscales them."""
        self.clip_gradients = profiling.wrap("clip_gradients", prepared.clip_gradients)
        """Bounds gradients where a user asks for it."""
        self.scale = prepared.scale_gradients if isinstance(prepared, KeepsOwnGradients) else _scale
        """Multiplies an optimizer's gradients."""

    def zero_grad(self, optimizer: Optimizer, batch_idx: int) -> None:
        """Clear gradients."""
        self.hooks.before_zero_grad(optimizer)
        self._zero_grad(self._progress.epoch, batch_idx, optimizer)

    def step(self, optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
        """Step and count."""
        result = self.step_uncounted(optimizer, closure)
        if self._held is None:
            self._progress.global_step += 1
        else:
            self._held += 1
        return result

    @contextmanager
    def counting_afterwards(self) -> Iterator[None]:
        """Inside, `global_step` stays what it was before the steps taken there."""
        self._held = 0
        try:
            yield
        finally:
            self._progress.global_step += self._held
            self._held = None

    def finish_and_step(self, optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
        """Step and count; gradients are finished before: as they are, or as `closure` computes them."""
        if self.finish is nothing or closure is None:
            self.finish(optimizer)
            return self.step(optimizer, closure)

        def finished() -> Any:
            loss = closure()
            with torch.enable_grad():  # optimizers call closures without
                self.finish(optimizer)
            return loss

        return self.step(optimizer, finished)


def _backward_with_hooks(before: HookCall, backward: HookCall, after: HookCall) -> HookCall:
    if before is nothing and after is nothing:
        return backward

    def call(loss: Tensor, *args: Any, **kwargs: Any) -> None:
        before(loss)
        backward(loss, *args, **kwargs)
        after()

    return call


def _zero_grad(epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
    optimizer.zero_grad()


def _scale(optimizer: Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad.mul_(factor)


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
        self._finish = gradients.finish
        self._step_optimizer = gradients.step_uncounted
        self._window = window
        self._by_closure = by_closure or gradients.hooks.optimizer_step is not None
        self._recorder = recorder
        self._scope = scope
        self._progress = progress
        self._keep_outputs = gradients.hooks.keep_outputs or self._by_closure
        self._told_of_none = False
        # Where nobody sees the moment, memory is freed before the forward pass takes its own.
        self._clears_first = gradients.hooks.zero_grad_unseen and not self._by_closure

    def __call__(self, batch: Any, batch_idx: int) -> Any:
        """Run one batch within the present window."""
        window = self._window
        self._recorder.scope = self._scope
        if window.opens and self._clears_first:
            self._optimizer.zero_grad()
        if not window.closes:
            with self._gradients.prepared.no_sync():
                return self._backward(self._step(batch, batch_idx), batch_idx)
        if self._by_closure:
            return self._step_by_closure(batch, batch_idx)
        outputs = self._backward(self._step(batch, batch_idx), batch_idx)
        if window.varies:
            self._mend_window()
        if self._finish is not nothing:
            self._finish(self._optimizer)
        self._step_optimizer(self._optimizer)
        self._progress.global_step += 1
        return outputs

    def _backward(self, returned: Any, batch_idx: int) -> Any:
        window, gradients = self._window, self._gradients
        loss = returned if type(returned) is Tensor else loss_of(returned)
        if window.opens and not self._clears_first:
            gradients.zero_grad(self._optimizer, batch_idx)
        if loss is None:
            self._tell_of_none()
            return {}
        if window.divisor != 1:
            loss = loss / window.divisor
        if not loss.requires_grad or loss.dim():
            loss = trainable(loss)
        gradients.backward(loss)
        return detached_outputs(returned, loss) if self._keep_outputs else None

    def _tell_of_none(self) -> None:
        if not self._told_of_none:
            self._told_of_none = True
            rank_zero_warn(
                "`training_step` returned None: such a batch is left out, nothing is learnt from it. Return the loss "
                "if this is not meant."
            )

    def _mend_window(self) -> None:
        """Make the gradients of a window that ended unforeseen those of its real size."""
        correction = self._window.correction
        if correction != 1.0:
            self._gradients.scale(self._optimizer, correction)

    def _step_by_closure(self, batch: Any, batch_idx: int) -> Any:
        outputs: Any = None

        def closure() -> Tensor | None:
            nonlocal outputs
            with torch.enable_grad():
                self._recorder.scope = self._scope
                outputs = self._backward(self._step(batch, batch_idx), batch_idx)
                if self._window.varies:
                    self._mend_window()
            loss: Tensor | None = outputs.get("loss")
            return loss

        override = self._gradients.hooks.optimizer_step
        if override is None:
            self._gradients.finish_and_step(self._optimizer, closure)
        else:
            with self._gradients.counting_afterwards():
                override(self._progress.epoch, batch_idx, self._wrapped, closure)
        if outputs is None:
            raise ModuleError(
                "`optimizer_step` came back without its closure having run: there was no training step. Call "
                "`optimizer.step(closure=optimizer_closure)`, or `optimizer_closure()` where no weights are to change."
            )
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
        for turn, optimizer in zip(self._turns, self._optimizers, strict=True):
            toggled = ToggledParameters(optimizer, self._optimizers)
            try:
                outputs.append(turn(batch, batch_idx))
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
