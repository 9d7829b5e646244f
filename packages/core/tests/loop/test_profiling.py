"""What a profiler is told of, and that a run without one is built without any call into profiling."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from kernel_cases import Deep, Line, differences, loader, trainer, twins

from fulmen_core import LightningDataModule
from fulmen_core.logging import Recorder
from fulmen_core.loop import HookTable, Profiling
from fulmen_interfaces import Callback, CallbackOrder, Hook
from fulmen_testing import FakeLogger


class Notes:
    """A profiler that writes everything down; `calls` are those that ended, `parents` what each lay within."""

    def __init__(self) -> None:
        self.life: list[str] = []
        self.calls: Counter[str] = Counter()
        self.parents: dict[str, set[str]] = {}
        self.steps_after: list[str] = []
        self.attached: list[Any] = []
        self._open: list[str] = []
        self._last = ""

    def setup(self, stage: str, *, rank: int, log_dir: str | None) -> None:
        self.life.append(f"setup {stage} {rank}")
        self.log_dir = log_dir

    @contextmanager
    def profile(self, action: str) -> Iterator[None]:
        self.parents.setdefault(action, set()).add(self._open[-1] if self._open else "")
        self._open.append(action)
        try:
            yield
        finally:
            assert self._open.pop() == action
            self.calls[action] += 1
            self._last = action

    def step(self) -> None:
        assert "training_batch" not in self._open
        self.steps_after.append(self._last)

    def describe(self) -> None:
        assert not self._open
        self.life.append("describe")

    def teardown(self, stage: str) -> None:
        self.life.append(f"teardown {stage}")

    def attach(self, module: Any) -> None:
        self.attached.append(module)

    def plain(self) -> dict[str, int]:
        """Return the calls of the loop's own actions, those at the beginning of a run left out."""
        setting_up = ("prepare_model", "finalize_loggers")
        return {
            name: count
            for name, count in self.calls.items()
            if "." not in name and not name.endswith("_dataloader") and name not in setting_up
        }


class Checked(Line):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.loss(batch)

    test_step = validation_step

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self(batch[0])


def profiled(**arguments: Any) -> tuple[Any, Notes]:
    notes = Notes()
    return trainer(profiler=notes, **arguments), notes


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


class Watcher(Callback):
    order = CallbackOrder.MONITOR

    def setup(self, *_: Any) -> None: ...

    def on_train_batch_end(self, *_: Any) -> None: ...

    def on_train_end(self, runner: Any, module: Any) -> None:
        runner.save_checkpoint(self.path)

    def teardown(self, *_: Any) -> None: ...


class Busy(Line):
    def setup(self, stage: str) -> None: ...

    def on_train_start(self) -> None: ...

    def on_train_batch_end(self, *_: Any) -> None: ...


class Data(LightningDataModule):
    def setup(self, stage: str) -> None: ...

    def train_dataloader(self) -> Any:
        return loader(3)


def test_hooks_are_told_by_class_and_name_where_somebody_implements_them(tmp_path):
    watcher = Watcher()
    watcher.path = tmp_path / "end.ckpt"
    runner, notes = profiled(callbacks=[watcher])
    runner.fit(Busy(), datamodule=Data())
    hooks = {name: count for name, count in notes.calls.items() if name.startswith(("Watcher.", "Busy.on_", "Data."))}
    assert hooks == {
        "Data.prepare_data": 1,
        "Data.setup": 1,
        "Data.teardown": 1,
        "Watcher.setup": 1,
        "Watcher.on_train_batch_end": 3,
        "Watcher.on_train_end": 1,
        "Watcher.teardown": 1,
        "Busy.on_train_start": 1,
        "Busy.on_train_batch_end": 3,
    }
    assert notes.calls["Busy.setup"] == notes.calls["Busy.configure_optimizers"] == 1
    assert notes.parents["Busy.configure_optimizers"] == {"prepare_model"}
    assert (notes.calls["save_checkpoint"], notes.parents["save_checkpoint"]) == (1, {"Watcher.on_train_end"})


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


@pytest.mark.parametrize("place", ["setup", "training_step", "on_train_epoch_end"])
def test_an_error_closes_what_is_open_and_the_report_still_comes(place):
    def fail(self: Any, *_: Any) -> None:
        raise KeyError(place)

    failing = type("Failing", (Line,), {place: fail})
    runner, notes = profiled()
    with pytest.raises(KeyError):
        runner.fit(failing(), loader(3))
    assert notes.life == ["setup fit 0", "describe", "teardown fit"]
    assert notes.calls[place if place == "training_step" else f"Failing.{place}"] == 1


def test_a_profiler_that_cannot_begin_ends_the_run_before_anything_else():
    class Broken(Notes):
        def setup(self, stage: str, *, rank: int, log_dir: str | None) -> None:
            raise OSError("no")

    class Untouched(Line):
        def setup(self, stage: str) -> None:
            pytest.fail("the run began")

    with pytest.raises(OSError, match="no"):
        trainer(profiler=Broken()).fit(Untouched(), loader(3))


def test_each_run_of_a_trainer_is_told_apart(tmp_path):
    runner, notes = profiled(default_root_dir=tmp_path)
    module = Checked()
    runner.fit(module, loader(3))
    runner.test(module, loader(2), verbose=False)
    assert notes.life == ["setup fit 0", "describe", "teardown fit", "setup test 0", "describe", "teardown test"]
    assert notes.attached == [module, module]
    assert notes.log_dir == str(tmp_path)
    assert runner.profiler is notes


def test_being_profiled_changes_no_weight():
    one, other = twins(Deep)
    trainer(max_epochs=2).fit(one, loader(4, shuffle=True, generator=torch.Generator().manual_seed(1)))
    torch.manual_seed(0)
    two, _ = twins(Deep)
    runner, _ = profiled(max_epochs=2)
    runner.fit(two, loader(4, shuffle=True, generator=torch.Generator().manual_seed(1)))
    assert differences(one, two) == []
    assert differences(one, other) != []


class TestWithoutAProfiler:
    def test_everything_stays_what_it_was(self):
        profiling, call, batches = Profiling(None), len, iter([1])
        assert profiling.wrap("x", call) is call
        assert profiling.hook(self, Hook.SETUP, call) is call
        assert profiling.batch("x", call) is call
        assert profiling.fetches("x", batches) is batches
        assert profiling.steps(batches) is batches

    def test_the_loop_calls_the_users_own_methods(self):
        module, runner = Checked(), trainer()
        runner.fit(module, loader(3))
        session = runner._runner.session
        gradients = session.link.gradients
        assert session.fit.optimise._step == module.training_step
        assert gradients._backward == gradients.prepared.backward
        assert gradients._step == gradients.prepared.step
        assert session.engine._log_metrics == session.parts.loggers.log_metrics
        assert runner.profiler is None

    def test_hooks_are_bound_as_they_are(self):
        watcher, module = Watcher(), Busy()
        table = HookTable(None, module, [watcher], Recorder(), Profiling(None))
        assert table.of_callbacks(Hook.ON_TRAIN_BATCH_END, late=True) == (watcher.on_train_batch_end,)
        assert table.of_module(Hook.ON_TRAIN_START) == module.on_train_start

    def test_no_frame_of_profiling_lies_below_a_step(self):
        files: list[str] = []

        class Looking(Line):
            def training_step(self, batch: Any, batch_idx: int) -> Any:
                frame = sys._getframe()
                while frame is not None:
                    files.append(frame.f_code.co_filename)
                    frame = frame.f_back
                return self.loss(batch)

        trainer(limit_train_batches=1).fit(Looking(), loader(3))
        assert any(name.endswith("_fit.py") for name in files)
        assert not any("_profile.py" in name for name in files)
