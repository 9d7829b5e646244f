"""In which hooks `self.log` works, what its defaults are there, and what is said elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernel_cases import Line, loader, rounded, trainer
from torch.optim.lr_scheduler import StepLR

from fulmen_core import LightningDataModule
from fulmen_interfaces import Callback, LoggingError

PER_STEP = [
    "on_train_batch_start",
    "training_step",
    "optimizer_step",
    "on_before_zero_grad",
    "optimizer_zero_grad",
    "on_before_backward",
    "backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "configure_gradient_clipping",
    "on_train_batch_end",
]
PER_TRAINING_EPOCH = ["on_train_start", "on_train_epoch_start", "on_train_epoch_end"]
PER_BATCH = [
    f"{hook}"
    for stage in ("validation", "test")
    for hook in (f"on_{stage}_batch_start", f"{stage}_step", f"on_{stage}_batch_end")
]
PER_EVALUATION = [
    f"on_{stage}_{end}" for stage in ("validation", "test") for end in ("start", "epoch_start", "epoch_end")
]
NOWHERE = [
    "configure_callbacks",
    "prepare_data",
    "setup",
    "configure_model",
    "configure_optimizers",
    "on_fit_start",
    "train_dataloader",
    "val_dataloader",
    "test_dataloader",
    "predict_dataloader",
    "on_before_batch_transfer",
    "transfer_batch_to_device",
    "on_after_batch_transfer",
    "lr_scheduler_step",
    "on_validation_model_zero_grad",
    "on_validation_model_eval",
    "on_validation_model_train",
    "on_validation_end",
    "on_test_model_eval",
    "on_test_model_train",
    "on_test_end",
    "on_train_end",
    "on_fit_end",
    "on_save_checkpoint",
    "teardown",
    "on_predict_start",
    "on_predict_model_eval",
    "on_predict_epoch_start",
    "on_predict_batch_start",
    "predict_step",
    "on_predict_batch_end",
    "on_predict_epoch_end",
    "on_predict_end",
]
OF_CALLBACKS = [
    *["on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward"],
    *["on_before_optimizer_step", "on_train_batch_end", *PER_TRAINING_EPOCH],
    *["on_validation_batch_start", "on_validation_batch_end", *PER_EVALUATION[:3]],
]


class Whole(Line):
    """Takes part in every kind of run, and has data of its own."""

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Log in `configure_gradient_clipping` beside it."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log nothing."""

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Log nothing."""

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self(batch[0])

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [StepLR(optimizer, 1)]

    def train_dataloader(self) -> Any:
        return loader(2)

    def val_dataloader(self) -> Any:
        return loader(2)

    test_dataloader = predict_dataloader = val_dataloader


def logging_in(hook: str, **options: Any) -> type[Whole]:
    """Return a module class that also logs in one hook: 1, 2, 3, ... under `x`."""
    calls = [0]

    def overridden(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        self.log("x", float(calls[0]), **options)
        return getattr(Whole, hook)(self, *args, **kwargs)

    return type("LoggingIn", (Whole,), {hook: overridden})


def run(hook: str, module: Any, **arguments: Any) -> Any:
    """Run what calls the hook."""
    ready = trainer(**{"num_sanity_val_steps": 0, "gradient_clip_val": 1.0, **arguments})
    if "test" in hook:
        ready.test(module, verbose=False)
    elif "predict" in hook:
        ready.predict(module)
    else:
        ready.fit(module)
    return ready


@pytest.mark.parametrize("hook", PER_STEP)
def test_hooks_of_a_training_batch_log_per_step_by_default(hook: str) -> None:
    fitted = run(hook, logging_in(hook)())
    assert rounded(fitted.callback_metrics) == rounded(fitted.logged_metrics) == {"x": 2.0}


@pytest.mark.parametrize("hook", PER_STEP)
def test_hooks_of_a_training_batch_log_per_epoch_when_asked(hook: str) -> None:
    fitted = run(hook, logging_in(hook, on_step=True, on_epoch=True)())
    assert rounded(fitted.callback_metrics) == {"x": 1.5, "x_step": 2.0, "x_epoch": 1.5}


@pytest.mark.parametrize("hook", PER_BATCH)
def test_hooks_of_an_evaluation_batch_log_per_epoch_by_default(hook: str) -> None:
    assert rounded(run(hook, logging_in(hook)()).callback_metrics) == {"x": 1.5}
    both = run(hook, logging_in(hook, on_step=True, on_epoch=True)())
    assert rounded(both.callback_metrics) == {"x": 1.5, "x_epoch": 1.5}
    assert rounded(both.logged_metrics) == {"x_step": 2.0, "x_epoch": 1.5}


@pytest.mark.parametrize("hook", [*PER_TRAINING_EPOCH, *PER_EVALUATION])
def test_hooks_of_an_epoch_log_per_epoch_and_never_per_step(hook: str) -> None:
    assert rounded(run(hook, logging_in(hook)()).callback_metrics) == {"x": 1.0}
    with pytest.raises(LoggingError, match=rf"on_step=True.*`{hook}`, which runs once per epoch"):
        run(hook, logging_in(hook, on_step=True)())


@pytest.mark.parametrize("hook", NOWHERE)
def test_other_hooks_cannot_log(hook: str) -> None:
    class Saving(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            trainer.save_checkpoint("memory://x")

    callbacks = [Saving()] if hook == "on_save_checkpoint" else []
    with pytest.raises(LoggingError, match="where n"):
        run(hook, logging_in(hook)(), callbacks=callbacks)


@pytest.mark.parametrize("hook", ["on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"])
def test_transfer_hooks_cannot_log_later_either(hook: str) -> None:
    """The hook that ran before the second batch's transfer can log; the transfer still cannot."""

    class Second(Whole):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.log("y", 1.0)

    def overridden(self: Any, *args: Any) -> Any:
        if "y" in self.trainer.callback_metrics:
            self.log("x", 1.0)
        return getattr(Whole, hook)(self, *args)

    with pytest.raises(LoggingError):
        run(hook, type("Second", (Second,), {hook: overridden})())


def test_loader_hooks_cannot_log_when_they_are_asked_again() -> None:
    class Again(Whole):
        def train_dataloader(self) -> Any:
            if self.trainer.current_epoch:
                self.log("x", 1.0)
            return loader(1)

        def on_train_epoch_end(self) -> None:
            self.log("y", 1.0)

    with pytest.raises(LoggingError):
        run("fit", Again(), max_epochs=2, reload_dataloaders_every_n_epochs=1)


def test_data_module_hooks_cannot_log_through_the_module() -> None:
    class Data(LightningDataModule):
        def setup(self, stage: str) -> None:
            self.trainer.lightning_module.log("x", 1.0)

        def train_dataloader(self) -> Any:
            return loader(1)

    with pytest.raises(LoggingError):
        trainer().fit(Line(), datamodule=Data())


@pytest.mark.parametrize("hook", ["on_exception", "teardown"])
def test_hooks_after_an_error_cannot_log_and_do_not_hide_it(hook: str) -> None:
    class Failing(Whole):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("y", 1.0)
            raise RuntimeError("the error that counts")

    class After(Callback):
        pass

    def logging(self: Any, trainer: Any, pl_module: Any, *args: Any) -> None:
        pl_module.log("x", 1.0)

    with (
        pytest.warns(UserWarning, match=r"Another error came.*LoggingError"),
        pytest.raises(RuntimeError, match="the error that counts"),
    ):
        run("fit", Failing(), callbacks=[type("After", (After,), {hook: logging})()])


@pytest.mark.parametrize("hook", OF_CALLBACKS)
def test_callbacks_log_through_the_module_as_it_would_itself(hook: str) -> None:
    def overridden(self: Any, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        self.calls += 1
        pl_module.log("x", float(self.calls))

    callback = type("Calling", (Callback,), {hook: overridden, "calls": 0})()
    truth = run(hook, logging_in(hook)()).callback_metrics
    fitted = run(hook, Whole(), callbacks=[callback])
    assert rounded(fitted.callback_metrics) == rounded(truth) != {}


@pytest.mark.parametrize("hook", OF_CALLBACKS)
def test_callbacks_log_by_themselves_as_through_the_module(hook: str) -> None:
    def through_the_module(self: Any, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        pl_module.log("x", 1.0, prog_bar=True)
        pl_module.log_dict({"y": 2.0, "z": 3.0}, on_epoch=True, on_step=False)

    def by_itself(self: Any, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        self.log("x", 1.0, prog_bar=True)
        self.log_dict({"y": 2.0, "z": 3.0}, on_epoch=True, on_step=False)

    truth, fitted = (
        run(hook, Whole(), callbacks=[type("Calling", (Callback,), {hook: method})()])
        for method in (through_the_module, by_itself)
    )
    assert rounded(fitted.callback_metrics) == rounded(truth.callback_metrics) != {}
    assert fitted.progress_bar_metrics == truth.progress_bar_metrics != {}


def test_a_callback_that_the_module_configures_logs_too() -> None:
    class Logging(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self.log("x", 1.0)

    class Own(Whole):
        def configure_callbacks(self) -> Callback:
            return Logging()

    assert rounded(run("fit", Own()).callback_metrics) == {"x": 1.0}


def test_after_a_run_its_callbacks_say_that_nothing_happens_and_hold_no_module() -> None:
    callback = Callback()
    run("fit", Whole(), callbacks=[callback])
    assert vars(callback) == {"_logs_through": None}
    with pytest.warns(UserWarning, match=r"self.log\('x', ...\)` was called outside of a run"):
        callback.log("x", 1.0)
    with pytest.warns(UserWarning, match="outside of a run"):
        callback.log_dict({"x": 1.0})


@pytest.mark.parametrize("hook", ["on_fit_start", "on_sanity_check_start", "on_sanity_check_end", "on_train_end"])
def test_callbacks_cannot_log_in_other_hooks(hook: str) -> None:
    def overridden(self: Any, trainer: Any, pl_module: Any) -> None:
        pl_module.log("x", 1.0)

    callback = type("Calling", (Callback,), {hook: overridden})()
    with pytest.raises(LoggingError, match=f"`{hook}`, where nothing is recorded"):
        run(hook, Whole(), callbacks=[callback], num_sanity_val_steps=1)


def test_module_and_callback_may_log_one_name_in_one_hook() -> None:
    class Adding(Callback):
        def on_validation_batch_end(
            self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
        ) -> None:
            pl_module.log("x", 5.0)

    class Own(Whole):
        def on_validation_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            self.log("x", 1.0)

    assert rounded(run("fit", Own(), callbacks=[Adding()]).callback_metrics) == {"x": 3.0}


def test_outside_of_a_run_a_warning_says_that_nothing_happens() -> None:
    module = Line()
    with pytest.warns(UserWarning, match=r"self.log\('x', ...\)` was called outside of a run"):
        module.log("x", 1.0)
    with pytest.warns(UserWarning, match="outside of a run"):
        module.log_dict({"x": 1.0})


def test_after_a_run_the_module_cannot_log() -> None:
    module = Line()
    trainer().fit(module, loader(1))
    with pytest.raises(LoggingError, match="where no hook runs"):
        module.log("x", 1.0)


def test_barebones_runs_take_no_values_wherever_they_come_from() -> None:
    fitted = trainer(barebones=True, logger=None, enable_checkpointing=None, enable_progress_bar=None)
    fitted.fit(logging_in("on_fit_start")())
    assert fitted.callback_metrics == fitted.logged_metrics == fitted.progress_bar_metrics == {}
