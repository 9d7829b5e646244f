"""Throughput among the logged metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from fulmen_callbacks._problems import refuse
from fulmen_callbacks._step_clock import StepClock
from fulmen_callbacks._throughput import Throughput
from fulmen_interfaces import Callback, ModuleView, Problem, RunningStage, TrainerView


@dataclass
class _Count:
    """One stage: what was done in it since its start."""

    throughput: Throughput
    started: float
    batches: int = 0
    samples: int = 0
    lengths: int = 0


class ThroughputMonitor(Callback):
    """Log batches, samples and items per second of every stage, and operations where the module tells them.

    `batch_size_fn` returns the samples of a batch and `length_fn` its items (tokens, say). The module's attribute
    `flops_per_batch`, if there is one, counts operations; see `measure_flops`. Further arguments are those of
    `Throughput`. Training is logged every `log_every_n_steps` steps, without the time that validation took; evaluations
    are logged at their end.
    """

    def __init__(
        self,
        batch_size_fn: Callable[[Any], int],
        length_fn: Callable[[Any], int] | None = None,
        *,
        available_flops: float | None = None,
        window_size: int = 100,
        separator: str = "/",
    ) -> None:
        self.batch_size_fn = batch_size_fn
        self.length_fn = length_fn
        self.available_flops = available_flops
        self._settings = {"window_size": window_size, "separator": separator}
        Throughput(window_size=window_size)  # refuses what makes no sense at once
        self._counts: dict[RunningStage, _Count] = {}
        self._clock = StepClock()
        self._validation_began = 0.0

    def setup(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        self._counts, self._clock = {}, StepClock()
        if not trainer.loggers:
            reason = "This run has no logger that could take the figures."
            refuse([Problem("callbacks", type(self).__name__, reason, "Give the Trainer a logger, or leave it out.")])

    def on_train_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._begin(trainer, RunningStage.TRAINING)

    def on_train_batch_end(
        self, trainer: TrainerView, pl_module: ModuleView, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = self._clock.after_batch(trainer)
        self._update(trainer, pl_module, batch, RunningStage.TRAINING, exact=step is not None)
        if step is not None:
            self._log(trainer, RunningStage.TRAINING, step)

    def on_validation_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if trainer.running_stage is not RunningStage.SANITY_CHECKING:
            self._validation_began = time.perf_counter()
            self._begin(trainer, RunningStage.VALIDATING)

    def on_validation_batch_end(
        self,
        trainer: TrainerView,
        pl_module: ModuleView,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if trainer.running_stage is not RunningStage.SANITY_CHECKING:
            self._update(trainer, pl_module, batch, RunningStage.VALIDATING)

    def on_validation_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if trainer.running_stage is RunningStage.SANITY_CHECKING:
            return
        self._log(trainer, RunningStage.VALIDATING, max(trainer.logging_step - 1, 0))
        if RunningStage.TRAINING in self._counts:
            self._counts[RunningStage.TRAINING].started += time.perf_counter() - self._validation_began

    def on_test_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._begin(trainer, RunningStage.TESTING)

    def on_test_batch_end(
        self,
        trainer: TrainerView,
        pl_module: ModuleView,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._update(trainer, pl_module, batch, RunningStage.TESTING)

    def on_test_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._log(trainer, RunningStage.TESTING, max(trainer.logging_step - 1, 0))

    def on_predict_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._begin(trainer, RunningStage.PREDICTING)

    def on_predict_batch_end(
        self,
        trainer: TrainerView,
        pl_module: ModuleView,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._update(trainer, pl_module, batch, RunningStage.PREDICTING)

    def on_predict_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._log(trainer, RunningStage.PREDICTING, max(trainer.logging_step - 1, 0))

    def _begin(self, trainer: TrainerView, stage: RunningStage) -> None:
        throughput = Throughput(self.available_flops, trainer.world.size, **self._settings)  # type: ignore[arg-type]
        self._counts[stage] = _Count(throughput, time.perf_counter())

    def _update(
        self, trainer: TrainerView, pl_module: ModuleView, batch: Any, stage: RunningStage, *, exact: bool = False
    ) -> None:
        count = self._counts[stage]
        count.batches += 1
        count.samples += self.batch_size_fn(batch)
        if self.length_fn is not None:
            count.lengths += self.length_fn(batch)
        if exact and trainer.root_device.type != "cpu":
            torch.accelerator.synchronize(trainer.root_device)  # what was issued but not computed does not count
        count.throughput.update(
            time=time.perf_counter() - count.started,
            batches=count.batches,
            samples=count.samples,
            lengths=None if self.length_fn is None else count.lengths,
            flops=getattr(pl_module, "flops_per_batch", None),
        )

    def _log(self, trainer: TrainerView, stage: RunningStage, step: int) -> None:
        if not trainer.is_global_zero:
            return
        metrics = self._counts[stage].throughput.compute()
        for logger in trainer.loggers:
            separator = logger.group_separator
            logger.log_metrics({f"{stage.value}{separator}{name}": value for name, value in metrics.items()}, step=step)
