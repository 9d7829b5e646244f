"""Stochastic weight averaging: the mean of the weights over the last epochs, under a learning rate of its own."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Literal, cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import SWALR, get_swa_avg_fn, update_bn

from fulmen_callbacks._averaging._average import AveragedWeights, AverageOne, AveragingRule, wrong_weights
from fulmen_callbacks._averaging._resting import RestingScheduler
from fulmen_callbacks._problems import at_least, one_of, refuse
from fulmen_interfaces import (
    Callback,
    ModuleView,
    Problem,
    SupportsTrainingData,
    TrainerView,
    rank_zero_info,
    rank_zero_warn,
)


class StochasticWeightAveraging(Callback):
    """Average the weights of the last epochs, while the learning rate anneals to a constant one.

    From epoch `swa_epoch_start` on (counted from 1; a share of `max_epochs` where it is no whole number) the weights
    with which each epoch begins are taken in, and the learning rate goes within `annealing_epochs` to `swa_lrs`, which
    are one or one by parameter group. The module's own scheduler, of which there may be one, rests from then on.

    When training ends the module gets the average of its parameters, and where it has batch norm, statistics from one
    more pass over the training data: `forward` is called with each batch, or with its first item, in training mode.
    Validation during the fit, and the `state_dict` of checkpoints, have the weights that are trained; the average is
    part of this callback's state. `avg_fn` is that of `torch.optim.swa_utils.AveragedModel`, by default the mean;
    `device` is where the average lies, None: where the weights are.

    One optimizer is needed; the rest is refused. Where weights lie in pieces, each process averages its own.
    """

    def __init__(
        self,
        swa_lrs: float | list[float],
        swa_epoch_start: int | float = 0.8,
        annealing_epochs: int = 10,
        annealing_strategy: Literal["cos", "linear"] = "cos",
        avg_fn: AverageOne | None = None,
        device: torch.device | str | None = "cpu",
    ) -> None:
        refuse(
            [
                _wrong_rates(swa_lrs),
                _wrong_start(swa_epoch_start),
                at_least("annealing_epochs", annealing_epochs, 0),
                one_of("annealing_strategy", annealing_strategy, ["cos", "linear"]),
            ]
        )
        self._rates = swa_lrs
        self._start = swa_epoch_start
        self._anneals: dict[str, Any] = {"anneal_epochs": annealing_epochs, "anneal_strategy": annealing_strategy}
        self._rule = AveragingRule(one=avg_fn or get_swa_avg_fn())  # type: ignore[no-untyped-call]
        self._device = device
        self._forget()

    def _forget(self) -> None:
        self._average: AveragedWeights | None = None
        self._scheduler: SWALR | None = None
        self._latest_update_epoch = -1
        self._loaded: dict[str, Any] | None = None

    def setup(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        if stage == "fit":
            self._forget()

    def on_fit_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        module = cast("nn.Module", pl_module)
        refuse([*wrong_weights(module, trainer, type(self).__name__, self._device), *self._wrong_run(trainer)])
        loaded = self._loaded or {"n_averaged": 0}
        named = dict(module.named_parameters())
        self._average = AveragedWeights(named, self._rule, device=self._device, count=loaded["n_averaged"])
        self._average.load(loaded.get("average_model_state") or {})

    def on_train_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        state = None if self._loaded is None else self._loaded["scheduler_state"]
        if state is not None:
            self._take_over(trainer).load_state_dict(state)
        self._loaded = None

    def on_train_epoch_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        epoch = trainer.current_epoch
        if self._average is None or epoch < self._first_epoch(trainer):
            return
        if self._scheduler is None:
            self._take_over(trainer)
        if epoch > self._latest_update_epoch:
            self._average.update()
            self._latest_update_epoch = epoch

    def on_train_epoch_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        # One step for each value taken in: an epoch that a limit cut short, and a later run goes on with, ends twice.
        scheduler, average = self._scheduler, self._average
        if scheduler is not None and average is not None and scheduler.last_epoch < average.count:
            first, *others = trainer.optimizers[0].param_groups
            for group in others:  # which may have come after the scheduler was made
                group.setdefault("swa_lr", first["swa_lr"])
            with warnings.catch_warnings():  # where a run goes on behind an epoch's last batch, no step came before
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler", UserWarning)
                scheduler.step()

    def on_train_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if self._average is None or self._average.count == 0:
            return
        self._average.give()
        module = cast("nn.Module", pl_module)
        layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
        if layers:
            batches = _once(trainer)
            if batches is None:
                rank_zero_warn(
                    f"{type(self).__name__} has no further pass over the training data, whose end is not known: batch "
                    "norm keeps the statistics of the last weights, not of the average. Call "
                    "torch.optim.swa_utils.update_bn on the module."
                )
                return
            update_bn(batches, module)
            _agree(layers, trainer)

    def state_dict(self) -> dict[str, Any]:
        if self._loaded is not None:
            return self._loaded
        average = self._average
        return {
            "n_averaged": 0 if average is None else average.count,
            "latest_update_epoch": self._latest_update_epoch,
            "scheduler_state": None if self._scheduler is None else _plain_state(self._scheduler),
            "average_model_state": None if average is None or average.count == 0 else average.values(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._latest_update_epoch = state_dict["latest_update_epoch"]
        self._loaded = state_dict

    def _take_over(self, trainer: TrainerView) -> SWALR:
        """Let the learning rate follow the average from now on."""
        optimizer = trainer.optimizers[0]
        self._scheduler = SWALR(optimizer, swa_lr=self._rates, **self._anneals)  # type: ignore[arg-type]
        for config in trainer.lr_scheduler_configs:
            rank_zero_info(f"{type(config.scheduler).__name__} rests, and SWALR sets the learning rate from now on.")
            config.scheduler = RestingScheduler(config.scheduler, optimizer)
        return self._scheduler

    def _first_epoch(self, trainer: TrainerView) -> int:
        """Return the epoch, from 0, at whose start the first weights are taken in."""
        start = self._start if isinstance(self._start, int) else int((trainer.max_epochs or 0) * self._start)
        return max(start - 1, 0)

    def _wrong_run(self, trainer: TrainerView) -> list[Problem]:
        problems, name = [], type(self).__name__
        optimizers, schedulers = len(trainer.optimizers), len(trainer.lr_scheduler_configs)
        if optimizers != 1:
            reason = f"`configure_optimizers` returned {optimizers} optimizers, and the learning rate of one is set."
            problems.append(Problem("callbacks", name, reason, "Return one, or use WeightAveraging."))
        elif isinstance(self._rates, Sequence) and len(self._rates) != len(trainer.optimizers[0].param_groups):
            groups = len(trainer.optimizers[0].param_groups)
            reason = f"The optimizer has {groups} parameter groups."
            problems.append(Problem("swa_lrs", self._rates, reason, f"Give one number, or {groups} of them."))
        if schedulers > 1:
            reason = f"`configure_optimizers` returned {schedulers} schedulers, and one at most can be replaced."
            problems.append(Problem("callbacks", name, reason, "Return one or none, or use WeightAveraging."))
        if isinstance(self._start, float) and trainer.max_epochs in (-1, None):
            reason = "It is a share of `max_epochs`, which is not limited."
            problems.append(Problem("swa_epoch_start", self._start, reason, "Give a whole number of epochs."))
        return problems


def _once(trainer: TrainerView) -> Iterable[Any] | None:
    """Return the training data for one more pass; None where there is none, or it may never end."""
    if not isinstance(trainer, SupportsTrainingData) or math.isinf(trainer.num_training_batches):
        return None
    batches = iter(trainer.training_batches())
    first = list(zip(range(1), batches, strict=False))
    return chain((batch for _, batch in first), batches) if first else None


def _plain_state(scheduler: SWALR) -> dict[str, Any]:
    """Return the scheduler's state without its functions, which torch 2.6 has in it and no checkpoint may hold."""
    return {name: value for name, value in scheduler.state_dict().items() if not callable(value)}


def _agree(layers: Iterable[_BatchNorm], trainer: TrainerView) -> None:
    """Let all ranks have the mean of the statistics that each found in its part of the data."""
    if trainer.world.size == 1:
        return
    for layer in layers:
        for statistic in (layer.running_mean, layer.running_var):
            if statistic is not None:
                statistic.copy_(trainer.collectives.all_reduce(statistic))


def _wrong_rates(rates: object) -> Problem | None:
    given = rates if isinstance(rates, list) else [rates]
    if given and all(isinstance(rate, (int, float)) and type(rate) is not bool and rate > 0 for rate in given):
        return None
    return Problem("swa_lrs", rates, "Learning rates are numbers above 0.", "Give one, or a list by parameter group.")


def _wrong_start(start: object) -> Problem | None:
    if (type(start) is int and start >= 1) or (type(start) is float and 0 <= start <= 1):
        return None
    remedy = "Give a whole number of epochs from 1 on, or a share from 0.0 to 1.0."
    return Problem("swa_epoch_start", start, "There is no such epoch.", remedy)
