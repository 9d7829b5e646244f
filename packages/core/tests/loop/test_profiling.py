"""Which actions a profiler is told of, how often, and within which others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernel_cases import Line, loader, trainer
from profiling_cases import Checked, profiled

from fulmen_testing import FakeLogger


def test_a_fit_with_validation_tells_every_action_exactly():
    runner, notes = profiled(max_epochs=2)
    runner.fit(Checked(), loader(3), loader(2))
    assert notes.plain() == {
        "sanity_check": 1,
        "training_epoch": 2,
        "training_batch": 6,
        "train_dataloader_next": 8,  # two of them find the end of the data
        "training_step": 6,
        "optimizer_zero_grad": 6,
        "backward": 6,
        "optimizer_step": 6,
        "validation": 2,
        "validation_step": 6,
        "val_dataloader_next": 9,
        "reduce_metrics": 13,
        "save_logs": 4,
    }
    assert notes.life == ["setup fit 0", "describe", "teardown fit"]


def test_actions_lie_within_those_that_contain_them():
    runner, notes = profiled()
    runner.fit(Checked(), loader(3), loader(2))
    within = {name: notes.parents[name] for name in notes.plain()}
    within.pop("reduce_metrics")
    assert within == {
        "sanity_check": {""},
        "training_epoch": {""},
        "training_batch": {"training_epoch"},
        "train_dataloader_next": {"training_epoch"},
        "training_step": {"training_batch"},
        "optimizer_zero_grad": {"training_batch"},
        "backward": {"training_batch"},
        "optimizer_step": {"training_batch"},
        "validation": {"training_batch"},
        "validation_step": {"sanity_check", "validation"},
        "val_dataloader_next": {"sanity_check", "validation"},
        "save_logs": {"validation", "training_epoch"},
    }


@pytest.mark.parametrize(
    ("stage", "step", "fetch"),
    [
        ("validate", "validation_step", "val_dataloader_next"),
        ("test", "test_step", "test_dataloader_next"),
        ("predict", "predict_step", "predict_dataloader_next"),
    ],
)
def test_other_stages_tell_their_steps(stage, step, fetch):
    runner, notes = profiled()
    getattr(runner, stage)(Checked(), loader(4))
    assert (notes.calls[step], notes.calls[fetch]) == (4, 5)
    assert len(notes.steps_after) == 4
    assert notes.life == [f"setup {stage} 0", "describe", f"teardown {stage}"]


def test_a_batch_ends_after_all_that_belongs_to_it():
    runner, notes = profiled(max_epochs=2)
    runner.fit(Checked(), loader(3), loader(2))
    assert notes.steps_after == ["training_batch"] * 6


@pytest.mark.parametrize("limit", [1, 2])
def test_the_last_batch_before_a_limit_ends_too(limit):
    runner, notes = profiled(max_steps=limit)
    runner.fit(Line(), loader(5))
    assert len(notes.steps_after) == limit
    assert notes.calls["train_dataloader_next"] == limit


def test_a_batch_that_is_skipped_ends_too():
    class Skipping(Line):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if batch_idx == 2 else None

    runner, notes = profiled()
    runner.fit(Skipping(), loader(5))
    assert (notes.calls["training_batch"], notes.calls["training_step"], len(notes.steps_after)) == (3, 2, 3)


def test_gradients_are_counted_as_they_are_accumulated_and_clipped():
    runner, notes = profiled(accumulate_grad_batches=2, gradient_clip_val=0.5)
    runner.fit(Line(), loader(6))
    assert {name: notes.calls[name] for name in ("backward", "clip_gradients", "optimizer_step")} == {
        "backward": 6,
        "clip_gradients": 3,
        "optimizer_step": 3,
    }


def test_a_closure_lies_within_the_step_that_calls_it():
    class ByClosure(Line):
        def configure_optimizers(self) -> Any:
            return torch.optim.LBFGS(self.parameters(), max_iter=2)

    runner, notes = profiled(limit_train_batches=1)
    runner.fit(ByClosure(), loader(1))
    assert notes.parents["training_step"] == notes.parents["backward"] == {"optimizer_step"}
    assert notes.calls["optimizer_step"] == 1
    assert notes.calls["training_step"] == notes.calls["backward"] == 2


def test_manual_optimisation_tells_what_users_call():
    class Manual(Line):
        automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer = self.optimizers()
            for _ in range(2):
                optimizer.zero_grad()
                self.manual_backward(self.loss(batch))
                self.clip_gradients(optimizer.optimizer, 0.5, "norm")
                optimizer.step()

    runner, notes = profiled()
    runner.fit(Manual(), loader(3))
    for action in ("backward", "clip_gradients", "optimizer_step"):
        assert (notes.calls[action], notes.parents[action]) == (6, {"training_step"})


def test_overridden_steps_are_told_as_hooks_around_the_real_ones():
    class Own(Line):
        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, closure: Any = None) -> None:
            optimizer.step(closure)

        def backward(self, loss: torch.Tensor) -> None:
            loss.backward()

    runner, notes = profiled()
    runner.fit(Own(), loader(3))
    assert {name: notes.calls[name] for name in ("optimizer_step", "Own.optimizer_step", "Own.backward")} == {
        "optimizer_step": 3,
        "Own.optimizer_step": 3,
        "Own.backward": 3,
    }
    assert notes.parents["optimizer_step"] == {"Own.optimizer_step"}
    assert notes.parents["Own.backward"] == {"backward"}


def test_going_on_from_a_checkpoint_tells_of_loading_it(tmp_path):
    first = trainer()
    first.fit(Line(), loader(3))
    first.save_checkpoint(tmp_path / "a.ckpt")
    runner, notes = profiled(max_epochs=2)
    runner.fit(Line(), loader(3), ckpt_path=tmp_path / "a.ckpt")
    assert (notes.calls["load_checkpoint"], notes.calls["training_step"]) == (1, 3)


def test_what_goes_to_loggers_is_told_when_it_goes():
    class Logging(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch)
            self.log("loss", loss, on_step=True, on_epoch=True)
            return loss

    runner, notes = profiled(logger=FakeLogger(), log_every_n_steps=2)
    runner.fit(Logging(), loader(6))
    assert notes.calls["log_metrics"] == 3 + 1  # every second batch, and the epoch
    assert notes.calls["save_logs"] == notes.calls["finalize_loggers"] == 1


def test_the_transfer_is_told_where_there_is_one():
    class Moving(Checked):
        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return batch

    runner, notes = profiled(num_sanity_val_steps=0)
    runner.fit(Moving(), loader(3), loader(2))
    assert notes.calls["batch_to_device"] == 5
    assert notes.parents["batch_to_device"] == {"training_batch", "validation"}
