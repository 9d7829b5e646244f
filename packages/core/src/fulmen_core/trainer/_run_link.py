"""The module's end of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only

from fulmen_core.logging import Recorder
from fulmen_core.loop import GradientSteps
from fulmen_core.module import AttachedTrainer, LightningOptimizer
from fulmen_interfaces import (
    Collectives,
    GradientClipping,
    LRSchedulerConfig,
    ModuleError,
    PreparedModel,
    ProgressBar,
    World,
)


class ModuleLink:
    """What a `LightningModule` sees of the run that it takes part in. Filled as the run is put together."""

    fabric = None

    def __init__(
        self,
        trainer: AttachedTrainer,
        *,
        recorder: Recorder,
        world: World,
        device: torch.device,
        collectives: Collectives,
    ) -> None:
        self.trainer = trainer
        self.recorder = recorder
        self.world = world
        self.device: torch.device | None = device
        self.optimizers: Sequence[LightningOptimizer] = ()
        self.scheduler_configs: Sequence[LRSchedulerConfig] = ()
        self.gradients: GradientSteps | None = None
        self.prepared: PreparedModel | None = None
        self._collectives = collectives

    def leave(self) -> None:
        """The run is over: the module is wherever its parameters are."""
        self.device = None

    def hand_out(self, prepared: PreparedModel, configs: Sequence[LRSchedulerConfig]) -> None:
        """Let the module have its optimizers and schedulers. They step as soon as training is about to begin."""
        optimizers = list(prepared.optimizers)
        self.optimizers = [
            LightningOptimizer(one, step=self._step, siblings=optimizers, no_sync=prepared.no_sync)
            for one in optimizers
        ]
        self.scheduler_configs = configs

    def _step(self, optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
        return self._in_fit().finish_and_step(optimizer, closure)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients, hooks included."""
        self._in_fit().backward(loss, *args, **kwargs)

    def plain_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients, without hooks."""
        self._in_fit().prepared.backward(loss, *args, **kwargs)

    def clip_gradients(self, optimizer: Optimizer, clipping: GradientClipping) -> None:
        """Bound gradients."""
        self._in_fit().clip_gradients(optimizer, clipping)

    def no_sync(self) -> AbstractContextManager[Any]:
        """Context in which backward does not synchronise gradients."""
        return self._in_fit().prepared.no_sync()

    def all_gather(self, data: Any, group: Any, sync_grads: bool) -> Any:
        """Gather tensors of all ranks, in nested structures too."""
        return tree_map_only(
            Tensor,
            lambda one: self._collectives.all_gather(one.to(self.device), group=group, sync_grads=sync_grads),
            data,
        )

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on rank zero."""
        if not self.world.is_global_zero:
            return
        for callback in self.trainer.callbacks:
            if isinstance(callback, ProgressBar):
                callback.print(*args, **kwargs)
                return
        print(*args, **kwargs)  # noqa: T201

    def _in_fit(self) -> GradientSteps:
        if self.gradients is None:
            raise ModuleError(
                "Gradients were to be computed or an optimizer was to step, but nothing is trained yet, or at all. "
                "Do it in `training_step`, or in a hook of `fit` from `on_train_start` on."
            )
        return self.gradients
