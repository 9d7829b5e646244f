"""What a Trainer's properties show: before a run, within it, and after it."""

from __future__ import annotations

import math
import os
from typing import Any, ClassVar

import pytest
import torch
from kernel_cases import Line, Unsized, loader, trainer

from fulmen_core import RunPlan, Trainer
from fulmen_interfaces import Callback, CallbackRole, RunningStage, RunStatus, Stage
from fulmen_testing import FakeLogger

STAGES = ["training", "validating", "sanity_checking", "testing", "predicting"]


class Staged(Line):
    """Keeps which stage properties are true in each step."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, Any] = {}

    def note(self, step: str) -> None:
        shown = self.trainer
        self.seen[step] = (
            [name for name in STAGES if getattr(shown, name)],
            shown.evaluating,
            shown.running_stage,
            shown.state.fn,
            shown.state.status,
        )

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.note("train")
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.note("sanity" if "train" not in self.seen and self.trainer.state.fn is Stage.FIT else "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.note("test")

    def predict_step(self, batch: Any, batch_idx: int) -> None:
        self.note("predict")

    def configure_optimizers(self) -> Any:
        self.note("configure")
        return super().configure_optimizers()


def test_the_stage_is_known_in_every_step() -> None:
    ready, module = trainer(), Staged()
    assert (ready.state.fn, ready.state.stage, ready.state.status) == (None, None, RunStatus.INITIALIZING)
    ready.fit(module, loader(1), loader(1))
    running = RunStatus.RUNNING
    assert module.seen == {
        "configure": (["training"], False, RunningStage.TRAINING, Stage.FIT, running),
        "sanity": (["sanity_checking"], True, RunningStage.SANITY_CHECKING, Stage.FIT, running),
        "train": (["training"], False, RunningStage.TRAINING, Stage.FIT, running),
        "val": (["validating"], True, RunningStage.VALIDATING, Stage.FIT, running),
    }
    module.seen = {}
    ready.validate(module, loader(1), verbose=False)
    ready.test(module, loader(1), verbose=False)
    ready.predict(module, loader(1))
    assert {step: (seen[0], seen[3]) for step, seen in module.seen.items()} == {
        "val": (["validating"], Stage.VALIDATE),
        "test": (["testing"], Stage.TEST),
        "predict": (["predicting"], Stage.PREDICT),
    }
    assert (ready.state.fn, ready.state.stage, ready.state.finished) == (Stage.PREDICT, None, True)


def test_a_new_trainer_shows_its_arguments_and_nothing_else() -> None:
    logger, callback = FakeLogger(save_dir="there"), Callback()
    new = trainer(
        max_epochs=3,
        min_epochs=2,
        max_steps=50,
        min_steps=5,
        logger=logger,
        callbacks=callback,
        accumulate_grad_batches=4,
        log_every_n_steps=7,
        val_check_interval=0.5,
        check_val_every_n_epoch=2,
        default_root_dir="root",
    )
    shown = {
        "max_epochs": 3,
        "min_epochs": 2,
        "max_steps": 50,
        "min_steps": 5,
        "accumulate_grad_batches": 4,
        "log_every_n_steps": 7,
        "val_check_interval": 0.5,
        "check_val_every_n_epoch": 2,
        "default_root_dir": "root",
        "logger": logger,
        "loggers": [logger],
        "log_dir": "there",
        "callbacks": [callback],
        "precision": "32-true",
        "world_size": 1,
        "num_nodes": 1,
        "num_devices": 1,
        "device_ids": [0],
        "global_rank": 0,
        "local_rank": 0,
        "node_rank": 0,
        "is_global_zero": True,
        "current_epoch": 0,
        "global_step": 0,
        "logging_step": 0,
        "should_stop": False,
        "interrupted": False,
        "received_sigterm": False,
        "is_last_batch": False,
        "enable_validation": False,
        "fast_dev_run": 0,
        "ckpt_path": None,
        "datamodule": None,
        "lightning_module": None,
        "model": None,
        "optimizers": [],
        "lr_scheduler_configs": [],
        "train_dataloader": None,
        "val_dataloaders": None,
        "num_val_batches": [],
        "num_test_batches": [],
        "num_predict_batches": [],
        "num_sanity_val_batches": [],
        "callback_metrics": {},
        "logged_metrics": {},
        "progress_bar_metrics": {},
        "checkpoint_callback": None,
        "checkpoint_callbacks": [],
        "early_stopping_callback": None,
        "progress_bar_callback": None,
    }
    assert {name: getattr(new, name) for name in shown} == shown


def test_defaults_are_what_users_know() -> None:
    new = Trainer(accelerator="cpu", max_steps=10, logger=False, enable_checkpointing=False)
    assert (new.max_epochs, new.max_steps, new.min_epochs, new.min_steps) == (-1, 10, 0, None)
    assert (new.log_every_n_steps, new.val_check_interval, new.check_val_every_n_epoch) == (50, 1.0, 1)
    assert new.default_root_dir == os.getcwd()
    assert new.log_dir == os.getcwd()


def test_data_and_progress_are_shown_within_a_run_and_after_it() -> None:
    class Looking(Callback):
        seen: ClassVar[list[tuple[int, int, int]]] = []

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.seen.append((trainer.current_epoch, trainer.global_step, trainer.logging_step))

    class Validated(Line):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            pass

    train, val = loader(4), loader(3)
    ready = trainer(max_epochs=2, accumulate_grad_batches=2, callbacks=[Looking()])
    module = Validated()
    ready.fit(module, train, val)
    assert Looking.seen == [(0, 0, 0), (0, 1, 1), (0, 1, 1), (0, 2, 2), (1, 2, 2), (1, 3, 3), (1, 3, 3), (1, 4, 4)]
    assert ready.train_dataloader is train
    assert ready.val_dataloaders == val or ready.val_dataloaders == [val]
    assert (ready.num_training_batches, ready.num_val_batches, ready.num_sanity_val_batches) == (4, [3], [2])
    assert ready.enable_validation
    assert ready.estimated_stepping_batches == 4
    assert (ready.current_epoch, ready.global_step) == (2, 4)
    assert ready.lightning_module is ready.model is module
    assert [type(one) for one in ready.optimizers] == [torch.optim.SGD]
    assert ready.lr_scheduler_configs == []
    assert ready.root_device == torch.device("cpu")


@pytest.mark.parametrize(
    ("run", "batches", "steps"),
    [
        ({"max_epochs": 2, "accumulate_grad_batches": 3}, 10, 8),
        ({"max_epochs": 3, "accumulate_grad_batches": 20}, 10, 3),
        ({"max_epochs": 2, "max_steps": 5}, 10, 5),
        ({"max_epochs": 2, "max_steps": 50}, 10, 20),
        ({"max_epochs": -1}, 10, math.inf),
        ({"max_epochs": -1, "max_steps": 7}, 10, 7),
        ({"max_epochs": None, "max_steps": 7}, 10, 7),
        ({"max_epochs": None}, 10, 10000),
        ({"max_epochs": 2, "limit_train_batches": 3}, 10, 6),
        ({"max_epochs": 2}, None, math.inf),
        ({"max_epochs": 2, "max_steps": 9}, None, 9),
        ({"max_epochs": 2, "limit_train_batches": 3}, None, 6),
    ],
)
@pytest.mark.filterwarnings("ignore:Nothing says when training ends")
def test_stepping_batches_are_estimated_when_optimizers_are_made(run: Any, batches: int | None, steps: float) -> None:
    class Asking(Line):
        estimate: Any = None

        def configure_optimizers(self) -> Any:
            self.estimate = self.trainer.estimated_stepping_batches
            self.trainer.should_stop = True
            return super().configure_optimizers()

    module = Asking()
    data = loader(10, size=1) if batches else Unsized(loader(10, size=1))
    trainer(**run).fit(module, data)
    # data without a length: a limit bounds it, and the estimate is what the limit allows
    assert module.estimate == steps


@pytest.mark.parametrize("steps", [7, -1])
def test_an_estimate_that_steps_alone_decide_asks_for_no_data(steps: int) -> None:
    class Asking(Line):
        asked: ClassVar[list[str]] = []

        def train_dataloader(self) -> Any:
            self.asked.append("data")
            return loader(1)

        def configure_optimizers(self) -> Any:
            assert self.trainer.estimated_stepping_batches == (math.inf if steps == -1 else steps)
            self.asked.append("optimizers")
            self.trainer.should_stop = True
            return super().configure_optimizers()

    trainer(max_epochs=-1, max_steps=steps).fit(Asking())
    assert Asking.asked[:2] == ["optimizers", "data"]
    Asking.asked.clear()


def test_the_plan_says_what_a_run_is_made_of(capsys: pytest.CaptureFixture[str]) -> None:
    plan = trainer().plan()
    assert isinstance(plan, RunPlan)
    assert (plan.accelerator_spec.name, plan.strategy_spec.name) == ("cpu", "single_device")
    printed = capsys.readouterr().out
    for word in ("cpu", "single_device", "32-true", "fulmen-accelerator-cpu", "fulmen-strategy-single-device"):
        assert word in printed


def test_loggers_may_be_replaced() -> None:
    ready = trainer()
    first, second = FakeLogger(), FakeLogger("second")
    ready.logger = first
    assert ready.loggers == [first]
    ready.loggers = [first, second]
    assert ready.logger is first

    class Logging(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("x", 1.0, on_step=False, on_epoch=True)
            return self.loss(batch)

    ready.fit(Logging(), loader(1))
    assert first.values("x") == second.values("x") == [1.0]
    ready.logger = None
    assert ready.loggers == []


def test_callbacks_are_found_by_the_part_they_play() -> None:
    def playing(part: CallbackRole) -> Any:
        return type(part.value, (Callback,), {"role": part})()

    keeper, stopper = playing(CallbackRole.CHECKPOINT), playing(CallbackRole.EARLY_STOPPING)
    bar = playing(CallbackRole.PROGRESS_BAR)
    ready = trainer(callbacks=[keeper, stopper, bar], enable_checkpointing=None, enable_progress_bar=None)
    assert (ready.checkpoint_callback, ready.checkpoint_callbacks) == (keeper, [keeper])
    assert (ready.early_stopping_callback, ready.early_stopping_callbacks) == (stopper, [stopper])
    assert ready.progress_bar_callback is bar


def test_the_trainer_prints_through_its_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    class Bar(Callback):
        role = CallbackRole.PROGRESS_BAR
        printed: ClassVar[list[Any]] = []

        def print(self, *args: Any, **kwargs: Any) -> None:
            self.printed.append(args)

        def disable(self) -> None: ...

        def enable(self) -> None: ...

    class Printing(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.print("module", 1)
            self.trainer.print("trainer", 2)
            return self.loss(batch)

    trainer(callbacks=[Bar()], enable_progress_bar=None).fit(Printing(), loader(1))
    assert Bar.printed == [("module", 1), ("trainer", 2)]
    assert capsys.readouterr().out == ""
    trainer().print("before a run")
    trainer().fit(Printing(), loader(1))
    assert capsys.readouterr().out == "before a run\nmodule 1\ntrainer 2\n"


def test_val_check_is_due_at_the_end_of_a_batch_that_validation_follows() -> None:
    class Due(Callback):
        seen: ClassVar[list[bool]] = []

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.seen.append(trainer.val_check_due)

    class Validated(Line):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            pass

    trainer(callbacks=[Due()], val_check_interval=2).fit(Validated(), loader(5), loader(1))
    assert Due.seen == [False, True, False, True, False]
