"""A profiler in a run: hooks by class, errors, several runs; and a run without one, built without any call to it."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from kernel_cases import Deep, Line, differences, loader, trainer, twins
from profiling_cases import Checked, Notes, profiled

from fulmen_core import LightningDataModule
from fulmen_core.logging import Recorder
from fulmen_core.loop import HookTable, Profiling
from fulmen_interfaces import Callback, CallbackOrder, Hook, PassThroughProfiler


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
        def setup(self, stage: str, rank: int, log_dir: str | None) -> None:
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
        assert gradients.backward == gradients.prepared.backward
        assert gradients.step_uncounted == gradients.prepared.step
        assert session.engine._log_metrics == session.parts.loggers.log_metrics
        assert session.parts.profiling.profiler is None

    def test_a_module_may_measure_what_is_its_own(self):
        class Measuring(Line):
            def training_step(self, batch: Any, batch_idx: int) -> Any:
                with self.trainer.profiler.profile("mine"):
                    return self.loss(batch)

        runner, module = trainer(), Measuring()
        runner.fit(module, loader(3))
        assert runner.global_step == 3
        assert isinstance(runner.profiler, PassThroughProfiler)

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
        assert any(name.endswith("_train.py") for name in files)
        assert not any("_profile.py" in name for name in files)
