"""Copies ahead: right, in time, and safe. On `sim` a copy that nobody waits for is not a number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from acme_sim import SimAccelerator
from sim_cases import QUIET, Classifier, assert_same, loader, plain_loop

import fulmen as L


class Impatient(SimAccelerator):
    """Does not wait for copies."""

    def wait_for_copies(self, device: torch.device) -> None:
        """Go on at once."""


class Careless(SimAccelerator):
    """Does not say that computing uses what was copied."""

    def keep_alive(self, tensor: torch.Tensor) -> None:
        """Say nothing."""


class OneByOne(Classifier):
    """Takes part in the transfer, so that no batch is copied ahead."""

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return list(batch)


@pytest.fixture
def accelerator() -> Iterator[SimAccelerator]:
    made = SimAccelerator()
    made.memory.reused_too_early = 0
    yield made
    made.teardown()


def test_a_run_with_copies_ahead_equals_one_without(accelerator: SimAccelerator) -> None:
    ahead, one_by_one = Classifier(), OneByOne()
    metrics = []
    for module in (ahead, one_by_one):
        trainer = L.Trainer(max_epochs=2, **QUIET)
        trainer.fit(module, loader(), loader(24))
        metrics.append({name: float(value) for name, value in trainer.callback_metrics.items()})
    assert metrics[0] == metrics[1]
    assert_same(ahead, one_by_one)
    assert_same(ahead, plain_loop(Classifier(), loader(), 2))


class Squares(Classifier):
    def loss(self, batch: Any) -> torch.Tensor:
        return self.layers(batch[0]).square().mean()

    def predict_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.loss(batch)


@pytest.mark.parametrize("stage", ["fit", "validate", "predict"])
def test_computing_that_does_not_wait_for_its_copy_computes_with_garbage(stage: str) -> None:
    """It shows that the runs of the other tests were right because they waited."""
    losses = []
    for accelerator in (Impatient(), SimAccelerator()):
        module, trainer = Squares(), L.Trainer(max_epochs=1, **QUIET | {"accelerator": accelerator})
        found: Any
        if stage == "fit":
            trainer.fit(module, loader())
            found = module.seen[0]
        elif stage == "validate":
            found = trainer.validate(module, loader(), verbose=False)[0]["val"]
        else:
            found = trainer.predict(module, loader())[0]
        losses.append(float(found))
    assert [math.isnan(loss) for loss in losses] == [True, False]


def test_memory_in_use_is_kept_from_the_next_copy(accelerator: SimAccelerator) -> None:
    for options in ({}, {"limit_train_batches": 3, "accumulate_grad_batches": 2}):
        trainer = L.Trainer(max_epochs=2, **QUIET | options)
        trainer.fit(Classifier(), loader(), loader(16))
        trainer.predict(Classifier(), loader())
    assert accelerator.memory.reused_too_early == 0

    L.Trainer(max_epochs=1, **QUIET | {"accelerator": Careless()}).fit(Classifier(), loader())
    assert accelerator.memory.reused_too_early > 0


def test_nothing_stays_allocated_after_a_run(accelerator: SimAccelerator) -> None:
    accelerator.free_memory()
    before = accelerator.memory.allocated
    trainer = L.Trainer(max_epochs=1, **QUIET)
    trainer.fit(Classifier(), loader(), loader(16))
    assert accelerator.memory.peak > before
    del trainer
    accelerator.free_memory()
    assert accelerator.memory.allocated == before


def reads(batches: int, **options: Any) -> float:
    accelerator = SimAccelerator()
    before = accelerator.stats(accelerator.device(0))["host_reads"]
    L.Trainer(max_epochs=1, **QUIET | options).fit(Classifier(), loader(8 * batches))
    return accelerator.stats(accelerator.device(0))["host_reads"] - before


def test_the_host_waits_for_the_device_no_more_often_however_many_batches_there_are() -> None:
    """Three values are logged of each batch; none is read before the run ends."""
    assert reads(70) == reads(5)


class Reading(Classifier):
    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        loss.item()
        return loss


def test_the_count_sees_who_reads_a_value() -> None:
    accelerator = SimAccelerator()
    before = accelerator.stats(accelerator.device(0))["host_reads"]
    L.Trainer(max_epochs=1, **QUIET).fit(Reading(), loader(80))
    assert accelerator.stats(accelerator.device(0))["host_reads"] - before >= 10
