"""A fit as callbacks see it, without any training."""

from __future__ import annotations

import torch

from fulmen_interfaces import Callback, ModuleView, RunningStage, Stage
from fulmen_testing._boring import BoringModule
from fulmen_testing._fake_trainer import FakeTrainer


def play_fit(
    callback: Callback, trainer: FakeTrainer, module: BoringModule, *, epochs: int = 2, batches: int = 3
) -> None:
    """Call the hooks of one fit, in their order and with the trainer's counters set, until `should_stop` is set."""
    trainer.num_training_batches = batches
    callback.setup(trainer, module, Stage.FIT.value)
    callback.on_fit_start(trainer, module)
    trainer.running_stage = RunningStage.SANITY_CHECKING
    callback.on_sanity_check_start(trainer, module)
    play_validation(callback, trainer, module)
    callback.on_sanity_check_end(trainer, module)
    trainer.running_stage = RunningStage.TRAINING
    callback.on_train_start(trainer, module)
    for epoch in range(epochs):
        trainer.current_epoch = epoch
        _play_epoch(callback, trainer, module, batches)
        if trainer.should_stop:
            break
    trainer.current_epoch += 1
    callback.on_train_end(trainer, module)
    callback.on_fit_end(trainer, module)
    callback.teardown(trainer, module, Stage.FIT.value)
    trainer.running_stage = None


def play_validation(callback: Callback, trainer: FakeTrainer, module: ModuleView, *, batches: int = 2) -> None:
    """Call the hooks of one validation."""
    callback.on_validation_start(trainer, module)
    callback.on_validation_epoch_start(trainer, module)
    for index in range(batches):
        batch = torch.zeros(1, 32)
        callback.on_validation_batch_start(trainer, module, batch, index)
        callback.on_validation_batch_end(trainer, module, None, batch, index)
    callback.on_validation_epoch_end(trainer, module)
    callback.on_validation_end(trainer, module)


def _play_epoch(callback: Callback, trainer: FakeTrainer, module: BoringModule, batches: int) -> None:
    callback.on_train_epoch_start(trainer, module)
    for index in range(batches):
        trainer.is_last_batch = index == batches - 1
        trainer.val_check_due = trainer.is_last_batch
        _play_batch(callback, trainer, module, index)
    trainer.running_stage = RunningStage.VALIDATING
    play_validation(callback, trainer, module)
    trainer.running_stage = RunningStage.TRAINING
    callback.on_train_epoch_end(trainer, module)


def _play_batch(callback: Callback, trainer: FakeTrainer, module: BoringModule, index: int) -> None:
    batch = torch.zeros(1, 32)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    callback.on_train_batch_start(trainer, module, batch, index)
    loss = module(batch).sum()
    callback.on_before_zero_grad(trainer, module, optimizer)
    callback.on_before_backward(trainer, module, loss)
    loss.backward()
    callback.on_after_backward(trainer, module)
    callback.on_before_optimizer_step(trainer, module, optimizer)
    trainer.global_step += 1
    trainer.logging_step += 1
    callback.on_train_batch_end(trainer, module, {"loss": loss.detach()}, batch, index)
