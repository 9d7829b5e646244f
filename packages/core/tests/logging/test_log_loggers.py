"""What loggers are given, in which order, under which step and epoch."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import pytest
from kernel_cases import Line, loader, trainer
from logging_cases import BOTH, EPOCH, STEP, Kinds, Logging

from fulmen_interfaces import Logger
from fulmen_testing import FakeLogger

pytestmark = pytest.mark.filterwarnings("ignore:.*nothing is validated")

Rows = list[tuple[int | None, dict[str, float]]]


def rows(train: Kinds, evaluation: Kinds | None = None, *, batches: int = 5, **run: Any) -> Rows:
    """Return what a logger was given during a fit."""
    logger = FakeLogger()
    fitted = trainer(**{"max_epochs": 2, "num_sanity_val_steps": 2, "logger": logger, **run})
    fitted.fit(Logging(train, evaluation), loader(batches), loader(2) if evaluation else None)
    assert logger.status == "success"
    return logger.metrics


def steps(given: Rows, name: str) -> list[tuple[int | None, float]]:
    return [(step, metrics[name]) for step, metrics in given if name in metrics]


@pytest.mark.parametrize(
    ("every", "accumulate", "truth"),
    [
        (1, 1, [(step, value) for step, value in enumerate([1, 2, 3, 4, 5, 11, 12, 13, 14, 15])]),
        (3, 1, [(2, 3), (5, 11), (8, 14)]),
        (1, 2, [(0, 2), (1, 4), (2, 5), (3, 12), (4, 14), (5, 15)]),
        (3, 2, [(2, 5), (5, 15)]),
        (50, 1, []),
        (0, 1, []),
    ],
)
def test_step_values_are_written_every_so_many_optimizer_steps(every: int, accumulate: int, truth: Any) -> None:
    given = rows({"t": {}}, log_every_n_steps=every, accumulate_grad_batches=accumulate)
    assert steps(given, "t") == truth
    assert [metrics["epoch"] for _, metrics in given] == [int(value > 10) for _, value in truth]


@pytest.mark.parametrize("every", [0, 1, 50])
def test_epoch_values_are_written_whatever_the_interval_for_steps(every: int) -> None:
    given = rows({"t": EPOCH}, {"v": {}}, batches=3, log_every_n_steps=every)
    assert given == [
        (2, {"v": 100.5, "epoch": 0}),
        (2, {"t": 2.0, "epoch": 0}),
        (5, {"v": 100.5, "epoch": 1}),
        (5, {"t": 12.0, "epoch": 1}),
    ]


def test_the_order_within_an_epoch() -> None:
    given = rows({"t": BOTH}, {"v": BOTH}, batches=2, log_every_n_steps=1)
    assert given == [
        (0, {"t_step": 1.0, "epoch": 0}),
        (1, {"t_step": 2.0, "epoch": 0}),
        (0, {"v_step": 100.0}),
        (1, {"v_step": 101.0}),
        (1, {"v_epoch": 100.5, "epoch": 0}),
        (1, {"t_epoch": 1.5, "epoch": 0}),
        (2, {"t_step": 11.0, "epoch": 1}),
        (3, {"t_step": 12.0, "epoch": 1}),
        (2, {"v_step": 100.0}),
        (3, {"v_step": 101.0}),
        (3, {"v_epoch": 100.5, "epoch": 1}),
        (3, {"t_epoch": 11.5, "epoch": 1}),
    ]


def test_validation_within_an_epoch_is_written_under_the_last_step() -> None:
    given = rows({"t": {}}, {"v": {}}, batches=5, max_epochs=1, log_every_n_steps=1, val_check_interval=2)
    assert [(step, *metrics) for step, metrics in given] == [
        (0, "t", "epoch"),
        (1, "t", "epoch"),
        (1, "v", "epoch"),
        (2, "t", "epoch"),
        (3, "t", "epoch"),
        (3, "v", "epoch"),
        (4, "t", "epoch"),
    ]


def test_validation_within_an_open_window_is_written_under_the_step_to_come() -> None:
    run = {"max_epochs": 1, "accumulate_grad_batches": 2, "val_check_interval": 1}
    given = rows({}, {"v": {}}, batches=5, **run)
    assert [step for step, _ in given] == [0, 0, 1, 1, 2]


def test_the_values_of_the_batch_at_which_training_stops_are_written() -> None:
    class Stopping(Logging):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            if (self.current_epoch, batch_idx) == (1, 1):
                self.trainer.should_stop = True

    for every, truth in ((3, [(2, 3), (4, 12)]), (0, [])):
        logger = FakeLogger()
        fitted = trainer(max_epochs=5, logger=logger, log_every_n_steps=every)
        fitted.fit(Stopping({"t": {}}), loader(3))
        assert steps(logger.metrics, "t") == truth


def test_an_epoch_that_ends_in_an_open_window_is_written_under_its_last_step() -> None:
    class Stopping(Logging):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            if batch_idx == 2:
                self.trainer.should_stop = True

    logger = FakeLogger()
    fitted = trainer(logger=logger, accumulate_grad_batches=2)
    fitted.fit(Stopping({"t": EPOCH}), loader(4))
    assert (fitted.global_step, logger.metrics) == (1, [(0, {"t": 2.0, "epoch": 0})])


def test_a_step_is_never_below_zero() -> None:
    class Skipping(Line):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int:
            self.log("x", 1.0, on_step=False, on_epoch=True)
            return -1

    logger = FakeLogger()
    trainer(logger=logger).fit(Skipping(), loader(2))
    assert logger.metrics == [(0, {"x": 1.0, "epoch": 0})]


def test_nothing_is_written_that_was_not_meant_for_loggers() -> None:
    given = rows({"t": {"logger": False}, "e": {**EPOCH, "logger": False}}, {"v": {"logger": False}})
    assert given == []


def test_values_from_all_hooks_of_a_batch_are_one_row() -> None:
    class Hooks(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log_dict({"a": 1.0, "b": 2.0}, on_epoch=True)
            return self.loss(batch)

        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            self.log("start", 1.0 + batch_idx)

        def on_before_optimizer_step(self, optimizer: Any) -> None:
            self.log("step_", 5.0)

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.log("end", 3.0 + batch_idx)

        def on_train_start(self) -> None:
            self.log("train_start", 7.0)

        def on_train_epoch_start(self) -> None:
            self.log("epoch_start", 8.0)

        def on_train_epoch_end(self) -> None:
            self.log("epoch_end", 9.0)

        def on_validation_start(self) -> None:
            self.log("val_start", 1.0)

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            pass

        def on_validation_epoch_end(self) -> None:
            self.log("val_end", 2.0)

    logger = FakeLogger()
    trainer(logger=logger, log_every_n_steps=1, num_sanity_val_steps=0).fit(Hooks(), loader(2), loader(1))
    assert logger.metrics == [
        (0, {"start": 1.0, "a_step": 1.0, "b_step": 2.0, "step_": 5.0, "end": 3.0, "epoch": 0}),
        (1, {"start": 2.0, "a_step": 1.0, "b_step": 2.0, "step_": 5.0, "end": 4.0, "epoch": 0}),
        (1, {"val_start": 1.0, "val_end": 2.0, "epoch": 0}),
        (
            1,
            {"train_start": 7.0, "epoch_start": 8.0, "a_epoch": 1.0, "b_epoch": 2.0, "epoch_end": 9.0, "epoch": 0},
        ),
    ]


def test_a_value_is_written_once() -> None:
    class Rarely(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 0:
                self.log("x", 5.0)
            return self.loss(batch)

    logger = FakeLogger()
    trainer(logger=logger, log_every_n_steps=1).fit(Rarely(), loader(3))
    assert logger.metrics == [(0, {"x": 5.0, "epoch": 0})]


def test_the_newest_value_since_the_last_writing_is_written() -> None:
    class Odd(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx % 2:
                self.log("x", float(batch_idx))
            return self.loss(batch)

    logger = FakeLogger()
    trainer(logger=logger, log_every_n_steps=3).fit(Odd(), loader(6))
    assert logger.metrics == [(2, {"x": 1.0, "epoch": 0}), (5, {"x": 5.0, "epoch": 0})]


def test_a_logged_step_and_epoch_take_the_place_of_ours() -> None:
    class Own(Line):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("step", 42.0)
            self.log("epoch", 7.0)
            self.log("y", 1.0)

    logger = FakeLogger()
    results = trainer(logger=logger).validate(Own(), loader(1), verbose=False)
    assert logger.metrics == [(42, {"epoch": 7.0, "y": 1.0})]
    assert results == [{"step": 42.0, "epoch": 7.0, "y": 1.0}]


def test_an_evaluation_is_written_under_the_steps_and_epochs_of_the_fit_before() -> None:
    logger = FakeLogger()
    fitted = trainer(max_epochs=2, logger=logger)
    module = Logging(evaluation={"v": {}})
    fitted.validate(module, loader(2), verbose=False)
    fitted.fit(module, loader(2))
    fitted.test(module, loader(2), verbose=False)
    assert logger.metrics == [(0, {"v": 100.5, "epoch": 0}), (4, {"v": 100.5, "epoch": 2})]


class TwoSteps(Line):
    """Steps two optimizers in every batch, or one in every second, as manual optimisation may."""

    every = 1

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.log("x", float(batch_idx))
        if batch_idx % self.every == self.every - 1:
            for optimizer in self.optimizers():
                optimizer.zero_grad()
                self.manual_backward(self.loss(batch))
                optimizer.step()

    def configure_optimizers(self) -> Any:
        return [Line.configure_optimizers(self) for _ in range(2)]


@pytest.mark.parametrize("every", [1, 2])
def test_under_manual_optimisation_every_batch_is_a_row(every: int) -> None:
    class Manual(TwoSteps):
        pass

    Manual.every = every
    logger = FakeLogger()
    fitted = trainer(logger=logger, log_every_n_steps=1)
    fitted.fit(Manual(), loader(4))
    assert logger.metrics == [(step, {"x": float(step), "epoch": 0}) for step in range(4)]
    assert fitted.global_step == 2 * 4 // every


def test_several_loggers_are_given_the_same() -> None:
    loggers = [FakeLogger(), FakeLogger("second")]
    trainer(logger=loggers, log_every_n_steps=1).fit(Logging({"t": BOTH}), loader(2))
    assert loggers[0].metrics == loggers[1].metrics != []


def test_a_logger_that_fails_is_told_once_and_the_others_go_on() -> None:
    class Failing(FakeLogger.__mro__[1]):  # type: ignore[misc, name-defined]
        """A logger whose disk is full."""

        name = version = save_dir = None
        experiment = None
        calls = 0

        def log_metrics(self, metrics: Any, step: Any = None) -> None:
            type(self).calls += 1
            raise OSError("disk full")

        def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
            pass

    good = FakeLogger()
    assert issubclass(Failing, Logger)
    with pytest.warns(UserWarning, match=r"The logger Failing failed.*disk full") as warned:
        trainer(logger=[Failing(), good], log_every_n_steps=1).fit(Logging({"t": STEP}), loader(3))
    assert Failing.calls == 1
    assert len([one for one in warned if "disk full" in str(one.message)]) == 1
    assert [step for step, _ in good.metrics] == [0, 1, 2]


@pytest.mark.parametrize("ends", [False, True])
def test_a_logger_that_fails_to_take_a_checkpoint_ends_the_run_only_if_it_says_so(ends: bool) -> None:
    class Failing(Logger):
        name = version = None
        ends_run_on_failure = ends

        def log_metrics(self, metrics: Any, step: Any = None) -> None:
            pass

        def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
            pass

        def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
            raise OSError("no network")

    class Saving(Line):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.trainer.tell_loggers_of_checkpoint(self)

    fitted = trainer(logger=Failing())
    if ends:
        with pytest.raises(OSError, match="no network"):
            fitted.fit(Saving(), loader(3))
    else:
        with pytest.warns(UserWarning, match=r"The logger Failing failed.*no network"):
            fitted.fit(Saving(), loader(3))
    assert fitted.global_step == (1 if ends else 3)


def test_loggers_are_told_how_the_run_ended() -> None:
    class Broken(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise RuntimeError("boom")

    logger = FakeLogger()
    with pytest.raises(RuntimeError, match="boom"):
        trainer(logger=logger).fit(Broken(), loader(1))
    assert logger.status == "failed"
    trainer(logger=logger).fit(Line(), loader(1))
    assert logger.status == "success"


def test_hyper_parameters_are_sent_once_when_the_run_starts() -> None:
    class Saving(Line):
        def __init__(self, lr: float = 0.1, depth: int = 3) -> None:
            super().__init__(lr)
            self.save_hyperparameters()

    logger = FakeLogger()
    trainer(logger=logger).fit(Saving(depth=4), loader(1))
    assert [dict(params) for params in logger.hyperparams] == [{"lr": 0.1, "depth": 4}]
    silent = FakeLogger()
    trainer(logger=silent, enable_autolog_hparams=False).fit(Saving(), loader(1))
    assert silent.hyperparams == []


def test_a_bare_run_has_no_logger() -> None:
    loose = dict.fromkeys(["enable_checkpointing", "enable_progress_bar", "enable_model_summary", "logger"])
    fitted = trainer(barebones=True, **loose)
    fitted.fit(Logging({"t": BOTH}), loader(2))
    assert fitted.loggers == []


def test_a_trial_run_tries_what_the_module_does_with_its_logger_and_writes_nothing(tmp_path: Any) -> None:
    class Drawing(Logging):
        drawn = 0

        def on_train_epoch_end(self) -> None:
            self.logger.experiment.add_image("x", None, self.global_step)
            self.logger.experiment.summary["best"] = 1.0
            with self.logger.experiment.run["part"] as part:
                part.log(1)
            self.logger.watch(self)
            self.logger.log_metrics({"x": 1.0}, step=0)
            self.drawn += 1

    logger, module = FakeLogger(), Drawing({"t": BOTH})
    fitted = trainer(fast_dev_run=True, logger=logger, default_root_dir=tmp_path)
    fitted.fit(module, loader(2))
    assert module.drawn == 1
    assert (logger.metrics, logger.hyperparams) == ([], [])
    assert len(fitted.loggers) == 1
    assert fitted.log_dir == str(tmp_path)
    assert list(tmp_path.iterdir()) == []
    pickle.loads(pickle.dumps(copy.deepcopy(fitted.logger)))


def test_a_trial_run_without_a_logger_has_none() -> None:
    assert trainer(fast_dev_run=True, logger=False).logger is None


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ({"log_every_n_steps": 11}, True),
        ({"log_every_n_steps": 10}, False),
        ({"log_every_n_steps": 6, "accumulate_grad_batches": 2}, False),
        ({"log_every_n_steps": 7, "accumulate_grad_batches": 2}, True),
        ({"max_steps": 3, "log_every_n_steps": 4}, True),
        ({"log_every_n_steps": 0}, False),
        ({"log_every_n_steps": 11, "logger": False}, False),
        ({"log_every_n_steps": 11, "fast_dev_run": True}, False),
    ],
)
def test_a_fit_that_is_over_before_steps_are_written_is_told(run: Any, told: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer(**{"max_epochs": 2, "logger": FakeLogger(), **run}).fit(Line(), loader(5))
    assert any("they will get none. Write log_every_n_steps=" in str(one.message) for one in caught) is told
