"""The callbacks that average weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from fulmen_callbacks._averaging._average import (
    AveragedWeights,
    AverageMany,
    AverageOne,
    AveragingRule,
    wrong_weights,
)
from fulmen_callbacks._pieces import whole
from fulmen_callbacks._problems import at_least, refuse
from fulmen_interfaces import Callback, ModuleView, Problem, TrainerView, rank_zero_warn

_LIVE_WEIGHTS = "current_model_state"
_AVERAGING = "averaging_state"


class WeightAveraging(Callback):
    """Keep an average of the weights beside those that are trained, and use it for all but training.

    Validation runs with the average. Checkpoints hold it as the model's weights; those being trained lie under
    `current_model_state`, so that training can go on. When training ends, the module gets it. `should_update` says
    after which steps and epochs weights are taken in: after every step, unless overridden.

    `device` is where the average lies, by default where the weights are. `use_buffers` says whether buffers are
    averaged too or copied. `avg_fn` and `multi_avg_fn` are those of `torch.optim.swa_utils.AveragedModel`; without them
    it is the mean. Where a strategy keeps weights in pieces, each process averages its own.
    """

    def __init__(
        self,
        device: torch.device | str | int | None = None,
        use_buffers: bool = True,
        *,
        avg_fn: AverageOne | None = None,
        multi_avg_fn: AverageMany | None = None,
    ) -> None:
        if avg_fn is not None and multi_avg_fn is not None:
            reason = "Of two ways to average, one can be used."
            refuse([Problem("avg_fn", avg_fn, reason, "Leave out `avg_fn` or `multi_avg_fn`.")])
        self._device = device
        self._rule = AveragingRule(avg_fn, multi_avg_fn, use_buffers)
        self._average: AveragedWeights | None = None
        self._loaded: tuple[Mapping[str, Tensor], int] | None = None
        self._latest_update_step = 0
        self._swapped = False
        self._fitting = False

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Return whether the weights are taken in, after that step (from 0) or at the end of that epoch."""
        return step_idx is not None

    def setup(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        self._fitting = stage == "fit"
        if self._fitting:
            self._average, self._loaded, self._swapped = None, None, False
            self._latest_update_step = 0

    def on_fit_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        module = cast("nn.Module", pl_module)
        refuse(wrong_weights(module, trainer, type(self).__name__, self._device))
        values, count = self._loaded or ({}, 0)
        named = module.state_dict(keep_vars=True)
        self._average = AveragedWeights(named, self._rule, device=self._device, count=count)
        self._average.load(values)
        self._loaded = None

    def on_train_batch_end(
        self, trainer: TrainerView, pl_module: ModuleView, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if self._average is not None and step > self._latest_update_step and self.should_update(step_idx=step - 1):
            self._average.update()
            self._latest_update_step = step

    def on_train_epoch_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if self._average is not None and self.should_update(epoch_idx=trainer.current_epoch):
            self._average.update()

    def on_train_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if self._average is not None:
            self._average.give()

    def on_validation_epoch_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._show(average=True)

    def on_validation_epoch_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._show(average=False)

    def on_exception(self, trainer: TrainerView, pl_module: ModuleView, exception: BaseException) -> None:
        self._show(average=False)

    def state_dict(self) -> dict[str, Any]:
        return {"latest_update_step": self._latest_update_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._latest_update_step = state_dict["latest_update_step"]

    def on_save_checkpoint(self, trainer: TrainerView, pl_module: ModuleView, checkpoint: dict[str, Any]) -> None:
        if self._average is None:
            return
        shown = {name: whole(value) for name, value in checkpoint["state_dict"].items()}
        kept = {**shown, **self._average.values()}
        average, live = (shown, kept) if self._swapped else (kept, shown)
        checkpoint.update({"state_dict": average, _LIVE_WEIGHTS: live})
        checkpoint[_AVERAGING] = {"n_averaged": torch.tensor(self._average.count)}

    def on_load_checkpoint(self, trainer: TrainerView, pl_module: ModuleView, checkpoint: dict[str, Any]) -> None:
        if not self._fitting:
            return
        if _LIVE_WEIGHTS not in checkpoint:
            rank_zero_warn("The checkpoint holds no average of weights: averaging begins with the weights in it.")
            return
        self._loaded = checkpoint["state_dict"], int(checkpoint[_AVERAGING]["n_averaged"])
        checkpoint["state_dict"] = checkpoint[_LIVE_WEIGHTS]

    def _show(self, *, average: bool) -> None:
        """Have the average or the trained weights in the module; outside of fit it stays as it is."""
        if self._fitting and self._average is not None and self._swapped is not average:
            self._average.swap()
            self._swapped = average


class EMAWeightAveraging(WeightAveraging):
    """Keep an exponential moving average: a step gives the weights a share of `1 - decay`.

    Weights are taken in after every `update_every_n_steps` steps, from `update_starting_at_step` on, and also at the
    end of each epoch from `update_starting_at_epoch` on, if that is given.
    """

    def __init__(
        self,
        device: torch.device | str | int | None = None,
        use_buffers: bool = True,
        decay: float = 0.999,
        update_every_n_steps: int = 1,
        update_starting_at_step: int | None = None,
        update_starting_at_epoch: int | None = None,
    ) -> None:
        refuse([at_least("decay", decay, 0.0), at_least("update_every_n_steps", update_every_n_steps, 0)])
        average: AverageMany = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        super().__init__(device, use_buffers, multi_avg_fn=average)
        self.update_every_n_steps = update_every_n_steps
        self.update_starting_at_step = update_starting_at_step
        self.update_starting_at_epoch = update_starting_at_epoch

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        if step_idx is not None and self.update_every_n_steps > 0:
            begun = self.update_starting_at_step is None or step_idx >= self.update_starting_at_step
            return begun and step_idx % self.update_every_n_steps == 0
        return (
            epoch_idx is not None
            and self.update_starting_at_epoch is not None
            and epoch_idx >= self.update_starting_at_epoch
        )
