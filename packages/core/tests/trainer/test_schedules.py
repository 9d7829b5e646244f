"""Intervals with a unit: when validation, logging and checkpoints really fire, and that a plan foretells it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import Line, Unsized, loader, trainer

from fulmen_core import Trainer
from fulmen_interfaces import Callback, ConfigurationError, Every
from fulmen_testing import FakeLogger

pytestmark = pytest.mark.filterwarnings("ignore:.*nothing is validated")
Moments = list[tuple[int, int]]


class Noting(Callback):
    """Notes after which batch of which epoch validation ran."""

    def __init__(self) -> None:
        self.validated: Moments = []
        self.batch = 0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.batch = batch_idx + 1

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self.validated.append((trainer.current_epoch, self.batch))


class Validated(Line):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("at", float(self.trainer.current_epoch * 1000 + batch_idx + 1))
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.loss(batch)


def fit(batches: int, **arguments: Any) -> tuple[Moments, Moments, Trainer]:
    """Return after which batches validation ran and step values were logged."""
    noting, logger = Noting(), FakeLogger()
    fitted = trainer(callbacks=[noting], logger=logger, num_sanity_val_steps=0, **arguments)
    fitted.fit(Validated(), loader(batches), loader(1))
    logged = [divmod(int(metrics["at"]), 1000) for _, metrics in logger.metrics if "at" in metrics]
    return noting.validated, logged, fitted


def foretold(fitted: Trainer, batches: int, what: str) -> Moments:
    tables = fitted.plan(loader(batches), loader(1)).timetables
    (moments,) = [table.moments for table in tables if table.what == what]
    assert moments is not None
    return [(moment.epoch, moment.batch) for moment in moments]


@pytest.mark.parametrize(
    ("interval", "accumulate", "truth"),
    [
        ("3 steps", 1, [(0, 3), (1, 2)]),
        ("2 steps", 2, [(0, 4), (1, 4)]),
        ("2 epochs", 1, [(1, 4)]),
        ("1 epoch", 1, [(0, 4), (1, 4)]),
        ("50 %", 1, [(0, 2), (0, 4), (1, 2), (1, 4)]),
        ("0.25 epochs", 1, [(0, 1), (0, 2), (0, 3), (0, 4), (1, 1), (1, 2), (1, 3), (1, 4)]),
        ("6 samples", 1, [(0, 3), (1, 2)]),
    ],
)
def test_validation_runs_at_its_interval(interval: str, accumulate: int, truth: Moments) -> None:
    """Batches have two samples, epochs four batches."""
    validated, _, fitted = fit(4, max_epochs=2, val_check_interval=interval, accumulate_grad_batches=accumulate)
    assert validated == truth
    assert foretold(fitted, 4, "validation") == truth[:5]


@pytest.mark.parametrize(
    ("interval", "truth"),
    [("3 steps", [(0, 3), (1, 2)]), ("1 epoch", [(0, 4), (1, 4)]), ("50 %", [(0, 2), (0, 4), (1, 2), (1, 4)])],
)
def test_step_values_are_logged_at_their_interval(interval: str, truth: Moments) -> None:
    _, logged, fitted = fit(4, max_epochs=2, log_every_n_steps=interval)
    assert logged == truth
    assert foretold(fitted, 4, "logging") == truth


@pytest.mark.parametrize("argument", ["val_check_interval", "log_every_n_steps"])
def test_time_decides_where_it_is_asked_to(argument: str) -> None:
    never = fit(3, **{argument: "1 h"})
    always = fit(3, **{argument: "0.000001 s"})
    which = 0 if argument == "val_check_interval" else 1
    assert never[which] == []
    assert always[which] == [(0, 1), (0, 2), (0, 3)]
    tables = never[2].plan(loader(3), loader(1)).timetables
    assert [table.moments for table in tables if table.every == "1 h"] == [None]


@settings(max_examples=25, deadline=None)
@given(
    batches=st.integers(1, 7),
    epochs=st.integers(1, 3),
    accumulate=st.integers(1, 3),
    interval=st.sampled_from(
        ["1 step", "2 steps", "5 steps", "2 epochs", "50 %", "34 %", "100 %", "4 samples", 1, 1.0]
    ),
    log=st.sampled_from(["1 step", "3 steps", "1 epoch", "25 %", "8 samples", 2]),
    max_steps=st.sampled_from([-1, 4]),
)
def test_a_plan_says_when_they_fire(
    batches: int, epochs: int, accumulate: int, interval: Any, log: Any, max_steps: int
) -> None:
    arguments = {
        "max_epochs": epochs,
        "max_steps": max_steps,
        "accumulate_grad_batches": accumulate,
        "val_check_interval": interval,
        "log_every_n_steps": log,
    }
    validated, logged, fitted = fit(batches, **arguments)
    assert foretold(fitted, batches, "validation") == validated[:5]
    assert foretold(fitted, batches, "logging") == logged[:5]


@pytest.mark.parametrize("share", [29, 57, 58])
def test_a_share_of_a_hundred_is_as_many(share: int) -> None:
    """As floats, these hundredths of a hundred are a little less."""
    validated, logged, fitted = fit(100, max_epochs=1, val_check_interval=f"{share} %", log_every_n_steps=f"{share} %")
    truth = [(0, batch) for batch in range(share, 101, share)]
    assert validated == logged == truth
    assert foretold(fitted, 100, "validation") == foretold(fitted, 100, "logging") == truth


def test_what_the_data_does_not_tell_is_refused() -> None:
    for interval, reason in (("25 %", "does not tell"), ("100 samples", "how many samples")):
        with pytest.raises(ConfigurationError, match=reason):
            trainer(val_check_interval=interval).fit(Validated(), Unsized(loader(3)), loader(1))
    with pytest.raises(ConfigurationError, match="how many batches"):
        trainer(log_every_n_steps="1 epoch").fit(Validated(), Unsized(loader(3)), loader(1))


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as error:
        Trainer(val_check_interval="3 parsecs", log_every_n_steps="1.5 steps")
    assert {problem.argument for problem in error.value.problems} == {"val_check_interval", "log_every_n_steps"}
    with pytest.raises(ConfigurationError, match="check_val_every_n_epoch=3 asks for another interval"):
        Trainer(val_check_interval="500 steps", check_val_every_n_epoch=3)


def test_an_object_says_the_same_as_its_text() -> None:
    text, _, _ = fit(4, max_epochs=2, val_check_interval="3 steps")
    made, _, _ = fit(4, max_epochs=2, val_check_interval=Every.parse("3 steps"))
    assert text == made
