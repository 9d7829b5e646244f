"""The order in which a fit calls the hooks that matter to checkpoints, without training anything."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from fulmen_interfaces import Callback, RunningStage

TRAIN_BATCHES = 4


class Failure(RuntimeError):
    """What the module raises."""


@dataclass
class SimulatedFit:
    """Four training batches and one validation loader; metrics are given as sequences."""

    trainer: Any
    module: Any
    callback: Callback
    max_epochs: int = 4
    min_epochs: int = 0
    limit_val_batches: float = 1.0
    num_sanity_val_steps: int = 2
    vals: list[float] = field(default_factory=lambda: [3, 2, 1, 4])
    trains: list[float] | None = None
    fail_at: int | None = None
    after: Callable[[str], None] = lambda hook: None
    """Called after every hook."""
    batches: int = 0
    validations: int = 0

    def run(self, start: dict[str, Any] | None = None) -> None:
        trainer = self.trainer
        if self.limit_val_batches == 0:
            trainer.num_val_batches, trainer.enable_validation = [0], False
        self.callback.setup(trainer, self.module, "fit")
        first_epoch = first_batch = 0
        if start is not None:
            trainer.global_step = start["global_step"]
            first_epoch, first_batch = divmod(trainer.global_step, TRAIN_BATCHES)
            if self.callback.state_key in start["callbacks"]:
                self.callback.load_state_dict(start["callbacks"][self.callback.state_key])
        try:
            self._fit(first_epoch, first_batch)
        except Failure as error:
            self.callback.on_exception(trainer, self.module, error)
            self.after("exception")
        self.callback.teardown(trainer, self.module, "fit")

    def _fit(self, first_epoch: int, first_batch: int) -> None:
        trainer = self.trainer
        if trainer.enable_validation and self.num_sanity_val_steps and not first_batch:
            trainer.running_stage = RunningStage.SANITY_CHECKING
            self.callback.on_validation_end(trainer, self.module)
        trainer.running_stage = RunningStage.TRAINING
        self.callback.on_train_start(trainer, self.module)
        epoch = first_epoch
        while not self._done(epoch):
            trainer.current_epoch = epoch
            self._epoch(first_batch)
            self.callback.on_train_epoch_end(trainer, self.module)
            self.after("epoch")
            first_batch = 0
            epoch += 1
        trainer.current_epoch = epoch
        self.callback.on_train_end(trainer, self.module)
        self.after("end")

    def _done(self, epoch: int) -> bool:
        if self.trainer.should_stop and epoch >= self.min_epochs:
            return True
        return 0 <= self.max_epochs <= epoch or 0 <= self.trainer.max_steps <= self.trainer.global_step

    def _epoch(self, first_batch: int) -> None:
        trainer = self.trainer
        for batch in range(first_batch, TRAIN_BATCHES):
            if self.fail_at == self.batches:
                raise Failure
            if self.trains:
                value = self.trains[self.batches % len(self.trains)]
                trainer.callback_metrics["train_loss"] = torch.tensor(float(value))
            self.batches += 1
            trainer.is_last_batch = batch == TRAIN_BATCHES - 1
            if trainer.is_last_batch or (batch + 1) % trainer.accumulate_grad_batches == 0:
                trainer.global_step += 1
            stop = trainer.max_steps == trainer.global_step
            trainer.val_check_due = not (stop and not trainer.is_last_batch) and self._validates(batch)
            self.callback.on_train_batch_end(trainer, self.module, {}, None, batch)
            self.after("batch")
            if trainer.val_check_due:
                self._validate()
            if stop or (trainer.should_stop and trainer.current_epoch + 1 >= self.min_epochs):
                return

    def _validates(self, batch: int) -> bool:
        trainer, interval = self.trainer, self.trainer.val_check_interval
        if not trainer.enable_validation:
            return False
        every = int(interval * TRAIN_BATCHES) if isinstance(interval, float) else interval
        if trainer.check_val_every_n_epoch is None:
            return (trainer.current_epoch * TRAIN_BATCHES + batch + 1) % every == 0
        return (trainer.current_epoch + 1) % trainer.check_val_every_n_epoch == 0 and (batch + 1) % every == 0

    def _validate(self) -> None:
        value = self.vals[self.validations % len(self.vals)]
        self.trainer.callback_metrics["val/loss"] = torch.tensor(float(value))
        self.validations += 1
        self.trainer.running_stage = RunningStage.VALIDATING
        self.callback.on_validation_end(self.trainer, self.module)
        self.trainer.running_stage = RunningStage.TRAINING
        self.after("validation")


def same_number(one: float | None, other: float | None) -> bool:
    """Compare scores where NaN equals NaN."""
    if one is None or other is None:
        return one is other
    return one == other or (math.isnan(one) and math.isnan(other)) or abs(one - other) < 1e-6
