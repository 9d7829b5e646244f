"""Under which keys, and from when on, callbacks, loggers and progress bar see what was logged."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernel_cases import Line, loader, rounded, trainer
from logging_cases import BAR, BOTH, EPOCH, STEP, Kinds, Logging, Looking

from fulmen_interfaces import Callback

pytestmark = pytest.mark.filterwarnings("ignore:.*nothing is validated")


def fit(looking: Looking, train: Kinds, evaluation: Kinds | None = None, *, batches: int = 2, **run: Any) -> Any:
    fitted = trainer(**{"callbacks": [looking], "num_sanity_val_steps": 0, **run})
    fitted.fit(Logging(train, evaluation), loader(batches), loader(2) if evaluation else None)
    return fitted


def shown(fitted: Any) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    return (
        rounded(fitted.callback_metrics),
        rounded(fitted.logged_metrics),
        rounded(fitted.progress_bar_metrics),
    )


@pytest.mark.parametrize(
    ("options", "callback", "logged", "bar"),
    [
        ({}, {"x": 2}, {"x": 2}, {}),
        (STEP, {"x": 2}, {"x": 2}, {}),
        (EPOCH, {"x": 1.5}, {"x": 1.5}, {}),
        (BOTH, {"x": 1.5, "x_step": 2, "x_epoch": 1.5}, {"x_step": 2, "x_epoch": 1.5}, {}),
        (BAR, {"x": 2}, {"x": 2}, {"x": 2}),
        ({**EPOCH, **BAR}, {"x": 1.5}, {"x": 1.5}, {"x": 1.5}),
        (
            {**BOTH, **BAR},
            {"x": 1.5, "x_step": 2, "x_epoch": 1.5},
            {"x_step": 2, "x_epoch": 1.5},
            {"x_step": 2, "x_epoch": 1.5},
        ),
        ({"logger": False}, {"x": 2}, {}, {}),
        ({**BOTH, **BAR, "logger": False}, {"x": 1.5, "x_step": 2, "x_epoch": 1.5}, {}, {"x_step": 2, "x_epoch": 1.5}),
    ],
    ids=str,
)
def test_keys_after_a_fit(options: Any, callback: Any, logged: Any, bar: Any) -> None:
    assert shown(fit(Looking(), {"x": options})) == (callback, logged, bar)


def test_a_step_value_is_seen_within_its_batch() -> None:
    looking = Looking("before_zero_grad", "train_batch_end")
    fit(looking, {"x": BAR})
    for which in (1, 2, 3):
        assert looking.of(which) == [
            ("before_zero_grad", {"x": 1.0}),
            ("train_batch_end", {"x": 1.0}),
            ("before_zero_grad", {"x": 2.0}),
            ("train_batch_end", {"x": 2.0}),
        ]


def test_how_often_loggers_are_written_to_changes_nothing_of_what_is_seen() -> None:
    seen = []
    for every in (1, 2, 50):
        looking = Looking("train_batch_end", "train_epoch_end")
        fitted = fit(looking, {"x": {**BOTH, **BAR}}, log_every_n_steps=every)
        seen.append((looking.seen, shown(fitted)))
    assert seen[0] == seen[1] == seen[2]


def test_an_epoch_value_is_seen_from_the_end_of_the_epoch_on() -> None:
    looking = Looking("train_batch_end", "train_epoch_end", "train_epoch_start")
    fit(looking, {"x": EPOCH}, max_epochs=2)
    assert looking.of(1) == [
        ("train_epoch_start", {}),
        ("train_batch_end", {}),
        ("train_batch_end", {}),
        ("train_epoch_end", {"x": 1.5}),
        ("train_epoch_start", {"x": 1.5}),
        ("train_batch_end", {"x": 1.5}),
        ("train_batch_end", {"x": 1.5}),
        ("train_epoch_end", {"x": 11.5}),
    ]


def test_the_bare_name_of_a_forked_metric_is_the_newest_of_both() -> None:
    looking = Looking("train_batch_end", "train_epoch_end")
    fit(looking, {"x": BOTH}, max_epochs=2)
    assert looking.of(1) == [
        ("train_batch_end", {"x": 1, "x_step": 1}),
        ("train_batch_end", {"x": 2, "x_step": 2}),
        ("train_epoch_end", {"x": 1.5, "x_step": 2, "x_epoch": 1.5}),
        ("train_batch_end", {"x": 11, "x_step": 11, "x_epoch": 1.5}),
        ("train_batch_end", {"x": 12, "x_step": 12, "x_epoch": 1.5}),
        ("train_epoch_end", {"x": 11.5, "x_step": 12, "x_epoch": 11.5}),
    ]


def test_validation_shows_epoch_values_to_callbacks_and_step_values_to_the_others() -> None:
    looking = Looking("validation_start", "validation_batch_end", "validation_epoch_end", "validation_end")
    fitted = fit(looking, {"x": BOTH}, {"v": {**BOTH, **BAR}})
    train = {"x": 2, "x_step": 2}
    assert looking.seen == [
        ("validation_start", train, {"x_step": 2}, {}),
        ("validation_batch_end", train, {"x_step": 2, "v_step": 100}, {"v_step": 100}),
        ("validation_batch_end", train, {"x_step": 2, "v_step": 101}, {"v_step": 101}),
        *[
            (
                hook,
                {**train, "v": 100.5, "v_epoch": 100.5},
                {"x_step": 2, "v_step": 101, "v_epoch": 100.5},
                {"v_step": 101, "v_epoch": 100.5},
            )
            for hook in ("validation_epoch_end", "validation_end")
        ],
    ]
    assert shown(fitted)[1] == {"x_step": 2, "x_epoch": 1.5, "v_step": 101, "v_epoch": 100.5}
    assert shown(fitted)[2] == {"v_step": 101, "v_epoch": 100.5}


def test_step_values_of_validation_alone_never_reach_callbacks() -> None:
    looking = Looking("validation_batch_end", "train_epoch_end")
    fitted = fit(looking, {}, {"v": STEP})
    assert all(metrics == {} for _, metrics in looking.of(1))
    assert looking.of(2) == [
        ("validation_batch_end", {"v": 100}),
        ("validation_batch_end", {"v": 101}),
        ("train_epoch_end", {"v": 101}),
    ]
    assert shown(fitted) == ({}, {"v": 101}, {})


def test_the_sanity_check_is_forgotten_when_it_is_over() -> None:
    looking = Looking("validation_epoch_end", "sanity_check_end", "train_epoch_start")
    fit(looking, {}, {"v": BAR}, num_sanity_val_steps=1, limit_train_batches=0)
    fit(looking, {}, {"v": {**BOTH, **BAR}}, num_sanity_val_steps=1, max_epochs=1)
    assert looking.of(1)[:2] == [("validation_epoch_end", {"v": 100}), ("sanity_check_end", {"v": 100})]
    both = {"v_step": 100, "v_epoch": 100}
    assert looking.seen[2:5] == [
        ("validation_epoch_end", {"v": 100, "v_epoch": 100}, both, both),
        ("sanity_check_end", {"v": 100, "v_epoch": 100}, both, both),
        ("train_epoch_start", {}, {}, {}),
    ]


def test_one_name_in_training_and_validation_shows_whichever_came_last() -> None:
    looking = Looking("train_batch_end", "validation_start", "validation_end", "train_epoch_end")
    fitted = fit(looking, {"x": BAR}, {"x": BAR}, batches=4, val_check_interval=2)
    for which in (1, 2, 3):
        assert [value["x"] for _, value in looking.of(which)] == [1, 2, 2, 100.5, 3, 4, 4, 100.5, 100.5]
    assert fitted.callback_metrics["x"] == 100.5


def test_what_the_module_logs_at_the_end_of_validation_is_seen_by_later_hooks() -> None:
    class Late(Line):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            pass

        def on_validation_epoch_end(self) -> None:
            self.log("late", 7.0)

        def on_train_epoch_end(self) -> None:
            self.log("later", 8.0)

    looking = Looking("validation_epoch_end", "validation_end", "train_epoch_end", "train_end")
    trainer(callbacks=[looking], num_sanity_val_steps=0).fit(Late(), loader(1), loader(1))
    assert looking.of(1) == [
        ("validation_epoch_end", {}),  # callbacks come first
        ("validation_end", {"late": 7}),
        ("train_epoch_end", {"late": 7}),
        ("train_end", {"late": 7, "later": 8}),
    ]


def test_what_is_logged_at_the_end_of_an_epoch_is_seen_within_the_hook() -> None:
    class Reading(Line):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Any] = []

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("v", 1.0, on_step=True, on_epoch=True)

        def on_validation_epoch_end(self) -> None:
            self.see(late=7.0 + self.current_epoch)

        def on_train_epoch_end(self) -> None:
            self.see(later=9.0 + self.current_epoch)

        def see(self, **values: float) -> None:
            self.log_dict(values, prog_bar=True)
            (name,) = values
            shown = (self.trainer.callback_metrics, self.trainer.logged_metrics, self.trainer.progress_bar_metrics)
            self.seen.append((name, *(float(one[name]) for one in shown)))

    module = Reading()
    fitted = trainer(max_epochs=2, num_sanity_val_steps=0)
    fitted.fit(module, loader(1), loader(1))
    assert module.seen == [
        ("late", 7, 7, 7),
        ("later", 9, 9, 9),
        ("late", 8, 8, 8),
        ("later", 10, 10, 10),
    ]
    assert rounded(fitted.callback_metrics) == {"v": 1, "v_epoch": 1, "late": 8, "later": 10}


def test_values_are_scalar_tensors_of_the_type_in_which_they_were_logged() -> None:
    values: dict[str, Any] = {
        "float": 1.5,
        "int": 3,
        "bool": True,
        "float32": torch.tensor(1.5),
        "float64": torch.tensor(1 / 3, dtype=torch.float64),
        "half": torch.tensor(1.5, dtype=torch.bfloat16),
        "whole": torch.tensor(2),
        "one element": torch.tensor([[4.0]]),
        "needs gradients": torch.tensor(1.0, requires_grad=True),
    }

    class Typed(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            for name, value in values.items():
                self.log(name, value)
                self.log(f"{name}, epoch", value, **EPOCH)
            return self.loss(batch)

    fitted = trainer()
    fitted.fit(Typed(), loader(3))
    for metrics in (fitted.callback_metrics, fitted.logged_metrics):
        for name, value in values.items():
            for key in (name, f"{name}, epoch"):
                assert metrics[key].shape == ()
                assert metrics[key].dtype is (torch.float64 if name == "float64" else torch.float32)
                assert not metrics[key].requires_grad
                assert metrics[key].item() == pytest.approx(float(torch.as_tensor(value).detach()), rel=1e-7)
        assert metrics["float64"].item() == metrics["float64, epoch"].item() == 1 / 3


def test_a_value_is_the_one_that_was_logged_whatever_happens_to_the_tensor() -> None:
    class Reusing(Line):
        def __init__(self) -> None:
            super().__init__()
            self.buffer = torch.zeros(())

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.buffer.fill_(float(batch_idx))
            self.log("x", self.buffer, **BOTH)
            self.log("high", self.buffer, reduce_fx="max", **EPOCH)
            self.buffer.fill_(1000.0)
            return self.loss(batch)

    fitted = trainer()
    fitted.fit(Reusing(), loader(3))
    assert rounded(fitted.callback_metrics) == {"x": 1.0, "x_step": 2.0, "x_epoch": 1.0, "high": 2.0}


def test_what_is_shown_may_be_changed_without_harm() -> None:
    class Spoiling(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            for metrics in (trainer.callback_metrics, trainer.logged_metrics, trainer.progress_bar_metrics):
                metrics.clear()

    looking = Looking("train_batch_end")
    fit(looking, {"x": {**BOTH, **BAR}}, callbacks=[Spoiling(), looking])
    assert looking.seen[-1][1:] == ({"x": 2, "x_step": 2}, {"x_step": 2}, {"x_step": 2})


def test_nan_and_infinity_are_values_like_others() -> None:
    class Odd(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("nan", float("nan"), **BOTH)
            self.log("inf", torch.tensor(float("inf")), **BOTH)
            self.log("once", float("nan") if batch_idx == 1 else 1.0, **EPOCH)
            return self.loss(batch)

    fitted = trainer()
    fitted.fit(Odd(), loader(3))
    metrics = {key: value.item() for key, value in fitted.callback_metrics.items()}
    assert all(metrics[key] != metrics[key] for key in ("nan", "nan_step", "nan_epoch", "once"))
    assert metrics["inf"] == metrics["inf_epoch"] == float("inf")


def test_nothing_is_left_of_an_earlier_run() -> None:
    fitted = trainer(num_sanity_val_steps=0)
    fitted.fit(Logging({"x": BAR}, {"v": BAR}), loader(2), loader(1))
    fitted.test(Logging(evaluation={"t": {}}), loader(2), verbose=False)
    assert shown(fitted) == ({"t": 100.5}, {"t": 100.5}, {})
