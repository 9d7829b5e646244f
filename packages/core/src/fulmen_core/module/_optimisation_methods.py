"""How a module is optimised: what a user configures, calls and overrides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from fulmen_core.module._attached import AttachedModule
from fulmen_core.module._optimizer import LightningOptimizer
from fulmen_core.module._toggle import ToggledParameters
from fulmen_core.module._types import OptimizerLRScheduler
from fulmen_interfaces import ClipAlgorithm, ConfigurationError, GradientClipping, ModuleError, Problem


class OptimisationMethods(AttachedModule):
    """A module that says how its weights change."""

    automatic_optimization: bool = True
    """Whether the Trainer calls backward and steps. Set it to False to do so in `training_step`."""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return what trains the module.

        One optimizer; a list of them; two lists, of optimizers and of schedulers; a dict with `optimizer` and perhaps
        `lr_scheduler`; a list of such dicts; or None to train without one. A scheduler is given as it is or as a dict
        with `scheduler` and perhaps `interval` ("epoch" or "step"), `frequency`, `monitor`, `strict`, `name`.
        """
        raise ModuleError(f"{type(self).__name__} has no `configure_optimizers`. Return an optimizer from it, or None.")

    def optimizers(self, use_pl_optimizer: bool = True) -> Any:
        """Return the optimizer, or the list of them, for manual optimisation."""
        wrapped = self._attached("optimizers").optimizers
        chosen: list[Any] = list(wrapped) if use_pl_optimizer else [one.optimizer for one in wrapped]
        return chosen[0] if len(chosen) == 1 else chosen

    def lr_schedulers(self) -> Any:
        """Return the scheduler, the list of them, or None, for manual optimisation."""
        schedulers = [config.scheduler for config in self._attached("lr_schedulers").scheduler_configs]
        if not schedulers:
            return None
        return schedulers[0] if len(schedulers) == 1 else schedulers

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients in manual optimisation; use it instead of `loss.backward()`."""
        if self.automatic_optimization:
            raise ModuleError(
                "`manual_backward` was called under automatic optimisation, which calls backward itself. "
                "Set `self.automatic_optimization = False` in `__init__`, or return the loss from `training_step`."
            )
        self._attached("manual_backward").backward(loss, *args, **kwargs)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients of `loss`; override it to call backward in your own way."""
        if self._link is None:
            loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]
        else:
            self._link.plain_backward(loss, *args, **kwargs)

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Step an optimizer; override it to change how or when. The closure runs the step and its gradients."""
        optimizer.step(closure=optimizer_closure)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Clear an optimizer's gradients."""
        optimizer.zero_grad()

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        """Step a scheduler; `metric` is the value of its `monitor`, if it has one."""
        if metric is None:
            scheduler.step()
        else:
            scheduler.step(metric)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Bound gradients before an optimizer's step; by default as the Trainer's arguments say."""
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def clip_gradients(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Bound gradients by norm (the default) or by value; nothing happens without a limit."""
        if gradient_clip_val is None:
            return
        wrapped = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        clipping = _clipping(gradient_clip_val, gradient_clip_algorithm)
        self._attached("clip_gradients").clip_gradients(wrapped, clipping)

    def toggle_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> None:
        """Let gradients flow into this optimizer's parameters only, until `untoggle_optimizer`."""
        wrapped = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        others = [one.optimizer for one in self._attached("toggle_optimizer").optimizers]
        self.untoggle_optimizer(optimizer)
        self.__dict__["_toggled"] = ToggledParameters(wrapped, others)

    def untoggle_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> None:
        """Undo `toggle_optimizer`."""
        toggled: ToggledParameters | None = self.__dict__.pop("_toggled", None)
        if toggled is not None:
            toggled.restore()

    @contextmanager
    def toggled_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> Iterator[None]:
        """Inside, gradients flow into this optimizer's parameters only."""
        self.toggle_optimizer(optimizer)
        try:
            yield
        finally:
            self.untoggle_optimizer(optimizer)


def _clipping(limit: float, algorithm: str | None) -> GradientClipping:
    """Raise ConfigurationError where this is no bound on gradients."""
    if not isinstance(limit, (int, float)) or not limit >= 0:
        reason = "It must be a number above 0, or None for no clipping."
        raise ConfigurationError([Problem("gradient_clip_val", limit, reason, "For example gradient_clip_val=1.0.")])
    if algorithm not in (None, *ClipAlgorithm):
        remedy = "Leave it out to bound the norm."
        raise ConfigurationError(
            [Problem("gradient_clip_algorithm", algorithm, "It must be 'norm' or 'value'.", remedy)]
        )
    return GradientClipping(float(limit), ClipAlgorithm(algorithm or ClipAlgorithm.NORM))
