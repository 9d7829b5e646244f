"""What arguments come to. The numbers were seen in Lightning 2.6.6."""

from __future__ import annotations

import math
import os
from datetime import timedelta

import pytest

from fulmen_core.logging import TrialLogger
from fulmen_core.settings import check_settings, effective
from fulmen_interfaces import ClipAlgorithm, ConfigurationError, GradientClipping


def run(**arguments):
    return effective(check_settings(**arguments))


def test_defaults():
    settings = run()
    assert (settings.max_epochs, settings.min_epochs, settings.max_steps, settings.min_steps) == (1000, 0, -1, None)
    assert settings.limit_train_batches == settings.limit_val_batches == 1.0
    assert settings.limit_test_batches == settings.limit_predict_batches == 1.0
    assert isinstance(settings.limit_train_batches, float)
    assert (settings.val_check_interval, settings.check_val_every_n_epoch) == (1.0, 1)
    assert (settings.num_sanity_val_steps, settings.log_every_n_steps) == (2, 50)
    assert settings.logger is True
    assert settings.enable_checkpointing
    assert settings.enable_progress_bar
    assert settings.enable_model_summary
    assert settings.record_metrics
    assert settings.gradient_clipping is None
    assert settings.deterministic is False
    assert settings.benchmark is None
    assert settings.default_root_dir == os.getcwd()
    assert settings.overfit_batches == settings.fast_dev_run == 0


@pytest.mark.parametrize(
    ("arguments", "expected", "warns"),
    [
        ({}, (1000, 0, -1, None), True),
        ({"max_epochs": 3}, (3, 0, -1, None), False),
        ({"max_epochs": -1}, (-1, 0, -1, None), False),
        ({"max_epochs": 0}, (0, 0, -1, None), False),
        ({"max_steps": 5}, (-1, 0, 5, None), False),
        ({"max_steps": 0}, (-1, 0, 0, None), False),
        ({"max_time": {"minutes": 1}}, (-1, 0, -1, None), False),
        ({"min_epochs": 3}, (1000, 3, -1, None), True),
        ({"min_epochs": 1200}, (1200, 1200, -1, None), True),
        ({"min_steps": 3}, (1000, 1, -1, 3), True),
        ({"max_epochs": -1, "max_steps": 4}, (-1, 0, 4, None), False),
    ],
)
def test_when_training_ends(arguments, expected, warns):
    settings = run(**arguments)
    assert (settings.max_epochs, settings.min_epochs, settings.max_steps, settings.min_steps) == expected
    assert bool(settings.warnings) is warns
    assert all("max_epochs" in warning for warning in settings.warnings)


@pytest.mark.parametrize(("given", "batches"), [(True, 1), (1, 1), (3, 3)])
def test_a_trial_run_overrides_what_would_make_it_long(given, batches):
    settings = run(
        fast_dev_run=given,
        max_epochs=7,
        max_steps=100,
        min_epochs=3,
        limit_train_batches=0.5,
        limit_val_batches=0,
        val_check_interval=4,
        check_val_every_n_epoch=3,
        num_sanity_val_steps=5,
        log_every_n_steps=7,
        logger=True,
        enable_checkpointing=True,
    )
    assert settings.fast_dev_run == batches
    assert (settings.max_epochs, settings.max_steps, settings.min_epochs) == (1, batches, 0)
    limits = (settings.limit_train_batches, settings.limit_val_batches)
    assert (*limits, settings.limit_test_batches, settings.limit_predict_batches) == (batches,) * 4
    assert (settings.val_check_interval, settings.check_val_every_n_epoch) == (1.0, 1)
    assert (settings.num_sanity_val_steps, settings.log_every_n_steps) == (0, 7)
    assert isinstance(settings.logger, TrialLogger)
    assert not settings.enable_checkpointing
    assert settings.enable_progress_bar
    assert settings.record_metrics
    assert settings.warnings == ()


@pytest.mark.parametrize("off", [False, 0])
def test_no_trial_run(off):
    assert run(fast_dev_run=off) == run()


def test_barebones_switches_everything_off():
    settings = run(barebones=True, max_epochs=2)
    assert settings.logger is False
    assert not settings.record_metrics
    assert not settings.enable_checkpointing
    assert not settings.enable_progress_bar
    assert not settings.enable_model_summary
    assert (settings.num_sanity_val_steps, settings.log_every_n_steps, settings.max_epochs) == (0, 0, 2)


@pytest.mark.parametrize(
    ("argument", "costs", "harmless"),
    [
        ("logger", True, False),
        ("enable_checkpointing", True, False),
        ("enable_progress_bar", True, False),
        ("enable_model_summary", True, False),
        ("profiler", "simple", None),
        ("fast_dev_run", True, False),
        ("detect_anomaly", True, False),
        ("log_every_n_steps", 3, 0),
        ("num_sanity_val_steps", 2, 0),
    ],
)
def test_barebones_refuses_what_costs_time(argument, costs, harmless):
    with pytest.raises(ConfigurationError) as caught:
        check_settings(barebones=True, **{argument: costs})
    assert [problem.argument for problem in caught.value.problems] == [argument]
    assert check_settings(barebones=True, **{argument: harmless}).barebones


@pytest.mark.parametrize("batches", [1, 2, 0.5, 1.0])
def test_overfitting_takes_the_same_batches_for_training_and_validation(batches):
    settings = run(overfit_batches=batches, limit_train_batches=5, limit_val_batches=7, num_sanity_val_steps=3)
    assert settings.limit_train_batches == settings.limit_val_batches == batches
    assert type(settings.limit_train_batches) is type(batches)
    assert (settings.limit_test_batches, settings.num_sanity_val_steps) == (1.0, 3)


def test_overfitting_wins_over_a_trial_run():
    settings = run(overfit_batches=3, fast_dev_run=True)
    assert (settings.limit_train_batches, settings.limit_val_batches, settings.limit_test_batches) == (3, 3, 1)


def test_minus_one_sanity_step_is_all():
    assert run(num_sanity_val_steps=-1).num_sanity_val_steps == math.inf


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"gradient_clip_val": 0.5}, GradientClipping(0.5, ClipAlgorithm.NORM)),
        ({"gradient_clip_val": 2, "gradient_clip_algorithm": "value"}, GradientClipping(2, ClipAlgorithm.VALUE)),
        ({"gradient_clip_val": 0}, None),
        ({"gradient_clip_algorithm": "value"}, None),
    ],
)
def test_clipping(arguments, expected):
    assert run(**arguments).gradient_clipping == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, (False, None)),
        ({"deterministic": True}, (True, False)),
        ({"deterministic": "warn"}, ("warn", False)),
        ({"deterministic": True, "benchmark": True}, (True, True)),
        ({"benchmark": False}, (False, False)),
    ],
)
def test_determinism_switches_benchmarks_off(arguments, expected):
    settings = run(**arguments)
    assert (settings.deterministic, settings.benchmark) == expected


def test_times_are_kept():
    settings = run(max_time="00:00:10:00", val_check_interval={"minutes": 2}, default_root_dir="runs")
    assert settings.max_time == timedelta(minutes=10)
    assert settings.val_check_interval == timedelta(minutes=2)
    assert settings.default_root_dir == "runs"


@pytest.mark.parametrize(
    ("arguments", "once"),
    [
        ({}, True),
        ({"val_check_interval": 1.0}, True),
        ({"val_check_interval": "100 %"}, True),
        ({"val_check_interval": 1}, False),
        ({"val_check_interval": 0.5}, False),
        ({"check_val_every_n_epoch": 2}, False),
    ],
)
def test_whether_each_epoch_validates_once(arguments, once):
    assert run(**arguments).validates_once_per_epoch == once
