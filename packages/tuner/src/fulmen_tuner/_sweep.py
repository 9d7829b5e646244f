"""The run behind `lr_find`: each step with another learning rate."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, final

import torch
from torch.optim import Optimizer

from fulmen_core import LightningModule
from fulmen_interfaces import Callback, CallbackOrder, LRSchedulerConfig, ModuleError, ReduceOp, TrainerView

Mode = Literal["exponential", "linear"]
_SMOOTHING = 0.98


def rates_between(lowest: float, highest: float, count: int, mode: Mode) -> list[float]:
    """Return so many learning rates from the lowest to the highest: by equal factors, or by equal differences."""
    shares = [index / max(count - 1, 1) for index in range(count)]
    if mode == "linear":
        return [lowest + (highest - lowest) * share for share in shares]
    return [lowest * (highest / lowest) ** share for share in shares]


class Smoothed:
    """The running mean of a loss, newer values counting more; right from the first value on, not drawn towards 0."""

    def __init__(self, weight: float = _SMOOTHING) -> None:
        self._weight = weight
        self._sum = 0.0
        self._count = 0

    def add(self, value: float) -> float:
        """Take one more value, and return the mean."""
        self._count += 1
        self._sum = self._weight * self._sum + (1 - self._weight) * value
        return self._sum / (1 - self._weight**self._count)


def share_of(count: int) -> float:
    """Return the share of all weights that the newest so many values have in a mean of endlessly many."""
    return 1.0 - _SMOOTHING**count


@final
class Sweep(Callback):
    """Sets the learning rate before each optimizer step, and records the loss; ends the run when it explodes.

    The loss of a step is the mean over its batches and over all processes.
    """

    order: ClassVar[CallbackOrder] = CallbackOrder.TUNER

    def __init__(self, rates: Sequence[float], *, threshold: float | None) -> None:
        self._rates = rates
        self._threshold = threshold
        self._smoothed = Smoothed()
        self._window: list[torch.Tensor] = []
        self._steps = 0
        self.started = False
        """Whether a run in this process began."""
        self.used: list[float] = []
        """The learning rates that were tried."""
        self.raw: list[float] = []
        """Their losses."""
        self.smooth: list[float] = []
        """Their losses, smoothed."""

    def state_dict(self) -> dict[str, Any]:
        """Return what was recorded: in this way it comes back from runs in processes of their own."""
        return {"used": self.used, "raw": self.raw, "smooth": self.smooth}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what was recorded elsewhere."""
        self.started = True
        self.used, self.raw, self.smooth = state_dict["used"], state_dict["raw"], state_dict["smooth"]

    def on_fit_start(self, trainer: TrainerView, pl_module: object) -> None:
        """Look at the optimizers, and let schedulers rest."""
        self.started = True
        if len(trainer.optimizers) != 1:
            raise ModuleError(
                f"`lr_find` needs one optimizer, but `{type(pl_module).__name__}.configure_optimizers` returned "
                f"{len(trainer.optimizers)}: one learning rate would not be right for all. Let it return one while "
                "searching, or choose the rates by hand."
            )
        for config in trainer.lr_scheduler_configs:
            rest(config)

    def on_train_batch_start(self, trainer: TrainerView, pl_module: object, batch: Any, batch_idx: int) -> None:
        """Set the learning rate."""
        set_rate(trainer.optimizers[0], self._rates[min(len(self.raw), len(self._rates) - 1)])

    def on_train_batch_end(
        self, trainer: TrainerView, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record the loss of a step that is complete."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else None
        if isinstance(loss, torch.Tensor):
            self._window.append(loss.detach().float().mean())
        if trainer.global_step == self._steps or not self._window:
            return
        self._steps = trainer.global_step
        losses = torch.stack(self._window)
        self._window.clear()
        # Under automatic optimization each of them is divided by their number already.
        loss = losses.sum() if pl_module.automatic_optimization else losses.mean()
        mean = trainer.collectives.all_reduce(loss, ReduceOp.MEAN).item()
        if not math.isfinite(mean):
            trainer.should_stop = True
            return
        self.used.append(self._rates[min(len(self.raw), len(self._rates) - 1)])
        self.raw.append(mean)
        self.smooth.append(self._smoothed.add(mean))
        trainer.should_stop = self._explodes()

    def _explodes(self) -> bool:
        if self._threshold is None or len(self.smooth) < 2:
            return False
        best = min(self.smooth)  # which is below 0 for some losses
        return self.smooth[-1] > best + (self._threshold - 1) * abs(best)


def rest(config: LRSchedulerConfig) -> None:
    """Let a scheduler never step, nor miss the metric that it watches."""
    config.frequency = sys.maxsize


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
