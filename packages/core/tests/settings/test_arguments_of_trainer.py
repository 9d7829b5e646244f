"""Each argument of a Trainer: what is right, what it is converted to, and what is said where it is wrong."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import fields
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from fulmen_core.settings import TrainerSettings, check_settings, read_settings
from fulmen_interfaces import Callback, CallbackRole, ClipAlgorithm, ConfigurationError
from fulmen_testing import FakeLogger, FakePrecision


class Plain(Callback):
    pass


class Bar(Callback):
    role = CallbackRole.PROGRESS_BAR


class Table(Callback):
    role = CallbackRole.MODEL_SUMMARY


class Saver(Callback):
    role = CallbackRole.CHECKPOINT


class Stateful(Callback):
    def state_dict(self):
        return {"a": 1}


PLAIN, LOGGER, PRECISION = Plain(), FakeLogger(), FakePrecision()

GOOD = [
    ("max_epochs", 3, 3),
    ("max_epochs", -1, -1),
    ("max_epochs", 0, 0),
    ("max_epochs", None, None),
    ("min_epochs", 2, 2),
    ("max_steps", -1, -1),
    ("min_steps", 5, 5),
    ("max_time", "01:02:03:04", timedelta(days=1, hours=2, minutes=3, seconds=4)),
    ("max_time", {"hours": 2, "minutes": 30}, timedelta(hours=2.5)),
    ("max_time", timedelta(minutes=5), timedelta(minutes=5)),
    ("max_time", "1.5 h", timedelta(minutes=90)),
    ("limit_train_batches", 1, 1),
    ("limit_train_batches", 1.0, 1.0),
    ("limit_val_batches", 0, 0),
    ("limit_val_batches", 0.0, 0.0),
    ("limit_test_batches", 0.5, 0.5),
    ("limit_predict_batches", 10, 10),
    ("limit_predict_batches", None, None),
    ("overfit_batches", 0.0, 0.0),
    ("overfit_batches", 4, 4),
    ("val_check_interval", 0.25, 0.25),
    ("val_check_interval", 100, 100),
    ("val_check_interval", "00:01:00:00", timedelta(hours=1)),
    ("val_check_interval", {"minutes": 20}, timedelta(minutes=20)),
    ("check_val_every_n_epoch", 2, 2),
    ("check_val_every_n_epoch", None, None),
    ("num_sanity_val_steps", -1, -1),
    ("num_sanity_val_steps", 0, 0),
    ("log_every_n_steps", 0, 0),
    ("enable_checkpointing", False, False),
    ("enable_progress_bar", None, None),
    ("enable_model_summary", True, True),
    ("accumulate_grad_batches", 4, 4),
    ("gradient_clip_val", 1, 1),
    ("gradient_clip_val", 0.5, 0.5),
    ("gradient_clip_val", math.inf, math.inf),
    ("gradient_clip_algorithm", "value", ClipAlgorithm.VALUE),
    ("gradient_clip_algorithm", "Norm", ClipAlgorithm.NORM),
    ("gradient_clip_algorithm", ClipAlgorithm.VALUE, ClipAlgorithm.VALUE),
    ("deterministic", "warn", "warn"),
    ("deterministic", True, True),
    ("benchmark", None, None),
    ("inference_mode", False, False),
    ("use_distributed_sampler", False, False),
    ("uneven_batches", "zero_weight", "zero_weight"),
    ("profiler", "simple", "simple"),
    ("detect_anomaly", True, True),
    ("sync_batchnorm", True, True),
    ("reload_dataloaders_every_n_epochs", 2, 2),
    ("default_root_dir", Path("runs") / "a", str(Path("runs") / "a")),
    ("default_root_dir", "s3://bucket/runs", "s3://bucket/runs"),
    ("enable_autolog_hparams", False, False),
    ("fast_dev_run", True, True),
    ("fast_dev_run", 3, 3),
    ("callbacks", None, ()),
    ("callbacks", PLAIN, (PLAIN,)),
    ("callbacks", [PLAIN], (PLAIN,)),
    ("logger", LOGGER, LOGGER),
    ("logger", [LOGGER, "csv"], (LOGGER, "csv")),
    ("logger", "csv", "csv"),
    ("logger", [], False),
    ("plugins", PRECISION, (PRECISION,)),
    ("auto_lr_find", True, True),
    ("auto_lr_find", "rate", "rate"),
    ("auto_scale_batch_size", False, False),
    ("auto_scale_batch_size", "binsearch", "binsearch"),
]


@pytest.mark.parametrize(("argument", "value", "expected"), GOOD)
def test_right_values_are_taken(argument, value, expected):
    taken = getattr(check_settings(**{argument: value}), argument)
    assert taken == expected
    assert type(taken) is type(expected)


def test_every_argument_that_can_be_wrong_has_good_and_bad_values_here():
    of_the_resolver = {"accelerator", "strategy", "devices", "num_nodes", "precision"}
    tried = {argument for argument, *_ in GOOD} & {argument for argument, *_ in BAD}
    assert {one.name for one in fields(TrainerSettings)} - tried - of_the_resolver == {"barebones"}


@pytest.mark.parametrize("number", ["numpy", "fraction"])
def test_numbers_of_other_libraries_are_numbers(number):
    if number == "fraction":
        assert check_settings(limit_train_batches=Fraction(1, 2)).limit_train_batches == 0.5
        return
    numpy = pytest.importorskip("numpy")
    assert check_settings(max_epochs=numpy.int64(3)).max_epochs == 3
    assert check_settings(limit_train_batches=numpy.float32(0.5)).limit_train_batches == 0.5


BAD = [
    ("max_epochs", -2, "from 0 on, or -1", "For example max_epochs=10."),
    ("max_epochs", "3", "whole number", "Write max_epochs=3."),
    ("max_epochs", 2.0, "whole number", "Write max_epochs=2."),
    ("max_epochs", 2.5, "whole number", "For example max_epochs=10."),
    ("max_epochs", True, "whole number", "For example max_epochs=10."),
    ("min_epochs", -1, "from 0 on", "For example"),
    ("max_steps", None, "whole number", "Write max_steps=-1."),
    ("max_epochs", math.inf, "whole number", "Write max_epochs=-1."),
    ("max_steps", -2, "-1 for no limit", "For example"),
    ("min_steps", 1.5, "whole number", "For example"),
    ("max_time", "12:00", "no length of time", "'days:hours:minutes:seconds'"),
    ("max_time", {"hour": 3}, "no length of time", "weeks, days, hours, minutes, seconds"),
    ("max_time", timedelta(seconds=-1), "not negative", "'12 h'"),
    ("max_time", "3 epochs", "no length of time", "Write '12 h'"),
    ("max_time", 60, "length of time", "For example max_time='12 h'."),
    ("limit_train_batches", 1.5, "share of all batches", "An int is a number of batches."),
    ("limit_train_batches", 20.0, "share of all batches", "For 20 batches write 20."),
    ("limit_train_batches", True, "True is no number of batches", "1 means one batch, 1.0 means all of them."),
    ("limit_val_batches", -1, "a number of batches", "For example"),
    ("limit_test_batches", "all", "a number of batches", "For example"),
    ("limit_test_batches", "0.5", "a number of batches", "Write limit_test_batches=0.5."),
    ("limit_predict_batches", math.nan, "a number of batches", "For example"),
    ("overfit_batches", None, "a number of batches", "For example overfit_batches=10."),
    ("val_check_interval", 0, "every 0 batches", "limit_val_batches=0 switches validation off."),
    ("val_check_interval", 1.5, "share of all batches", "An int is"),
    ("limit_test_batches", "10 %", "a number of batches", "Write limit_test_batches=0.1."),
    ("val_check_interval", "often", '"500 steps"', "an int counts batches"),
    ("log_every_n_steps", "50", '"500 steps"', "an int counts steps"),
    ("val_check_interval", {"seconds": 0}, "No time lies between", "limit_val_batches=0"),
    ("check_val_every_n_epoch", 0, "from 1 on", "For example check_val_every_n_epoch=1."),
    ("num_sanity_val_steps", -2, "-1 for all", "For example"),
    ("log_every_n_steps", -1, "0 for never", "For example log_every_n_steps=50."),
    ("enable_checkpointing", 1, "True or False", "Write enable_checkpointing=True."),
    ("enable_progress_bar", "false", "True or False", "Write enable_progress_bar=False."),
    ("enable_model_summary", "top", "True or False", "For example"),
    ("accumulate_grad_batches", 0, "from 1 on", "For example accumulate_grad_batches=4."),
    ("accumulate_grad_batches", {0: 1, 4: 2}, "a callback", "GradientAccumulationScheduler(scheduling={0: 1, 4: 2})"),
    ("gradient_clip_val", -1, "above 0", "For example gradient_clip_val=1.0."),
    ("gradient_clip_val", math.nan, "above 0", "For example"),
    ("gradient_clip_val", "0.5", "above 0", "Write gradient_clip_val=0.5."),
    ("gradient_clip_algorithm", "nrom", "'norm' or 'value'", "For example"),
    ("deterministic", "warning", "'warn'", "For example"),
    ("benchmark", 0, "True or False", "Write benchmark=False."),
    ("inference_mode", None, "True or False", "For example"),
    ("uneven_batches", "join", "'stop' or 'zero_weight'", "For example"),
    ("use_distributed_sampler", "yes", "True or False", "Write use_distributed_sampler=True."),
    ("detect_anomaly", 1, "True or False", "Write detect_anomaly=True."),
    ("sync_batchnorm", None, "True or False", "For example"),
    ("reload_dataloaders_every_n_epochs", -1, "from 0 on", "For example"),
    ("default_root_dir", 3, "a path", "For example default_root_dir='runs'."),
    ("enable_autolog_hparams", "no", "True or False", "Write enable_autolog_hparams=False."),
    ("fast_dev_run", -1, "number of batches", "For example fast_dev_run=True."),
    ("fast_dev_run", 2.0, "number of batches", "Write fast_dev_run=2."),
    ("profiler", 3, "no profiler", "fulmen.profilers"),
    ("callbacks", [3], "no callback", "fulmen.callbacks"),
    ("callbacks", "early_stopping", "no callback", "fulmen.callbacks"),
    ("callbacks", Plain, "Plain is a class", "Write Plain(...)."),
    ("logger", 3, "no logger", "fulmen.loggers"),
    ("logger", FakeLogger, "FakeLogger is a class", "Write FakeLogger(...)."),
    ("plugins", ["ddp"], "no precision, cluster environment or checkpoint io", "fulmen.plugins"),
    ("auto_lr_find", 3, "the name of an attribute", "True"),
    ("auto_scale_batch_size", "linear", "'power' or 'binsearch'", "power"),
]


@pytest.mark.parametrize(("argument", "value", "reason", "remedy"), BAD)
def test_wrong_values_are_refused_with_what_would_work(argument, value, reason, remedy):
    with pytest.raises(ConfigurationError) as caught:
        check_settings(**{argument: value})
    (problem,) = caught.value.problems
    assert problem.argument == argument
    assert problem.value is value
    assert reason in problem.reason
    assert remedy in problem.remedy


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigurationError) as caught:
        check_settings(max_epochs="x", gpus=1, limit_val_batches=2.0, max_stepz=3, accumulate_grad_batches=2)
    assert [problem.argument for problem in caught.value.problems] == [
        "gpus",
        "max_stepz",
        "max_epochs",
        "limit_val_batches",
    ]


def test_objects_of_another_library_are_told_where_theirs_are():
    theirs = type("EarlyStopping", (), {"__module__": "lightning.pytorch.callbacks.early_stopping"})()
    with pytest.raises(ConfigurationError, match=r"Import EarlyStopping from fulmen\.callbacks"):
        check_settings(callbacks=[theirs])


def test_what_the_resolver_decides_upon_reaches_it_unchanged():
    settings = check_settings(
        accelerator="x", strategy=3, devices=[1], num_nodes="2", precision=None, plugins=[PRECISION]
    )
    request = settings.run_request
    assert (request.accelerator, request.strategy, request.devices, request.num_nodes) == ("x", 3, [1], "2")
    assert request.precision is PRECISION


@pytest.mark.parametrize(
    ("arguments", "at_fault"),
    [
        ({"min_epochs": 5, "max_epochs": 2}, ["min_epochs"]),
        ({"min_epochs": 5, "max_epochs": -1}, []),
        ({"min_epochs": 5, "max_epochs": 2, "fast_dev_run": True}, []),
        ({"min_steps": 5, "max_steps": 2}, ["min_steps"]),
        ({"min_steps": 5, "max_steps": -1}, []),
        ({"val_check_interval": 0.5, "check_val_every_n_epoch": None}, ["val_check_interval"]),
        ({"val_check_interval": 10, "check_val_every_n_epoch": None}, []),
        ({"val_check_interval": "00:00:10:00", "check_val_every_n_epoch": None}, []),
        ({"check_val_every_n_epoch": None}, []),
        ({"enable_checkpointing": False, "callbacks": Saver()}, ["enable_checkpointing"]),
        ({"enable_progress_bar": False, "callbacks": [Bar(), PLAIN]}, ["enable_progress_bar"]),
        ({"enable_progress_bar": True, "callbacks": [Bar(), PLAIN]}, []),
        ({"enable_model_summary": False, "callbacks": [PLAIN, Table()]}, ["enable_model_summary"]),
        ({"barebones": True, "callbacks": [PLAIN, Bar(), Saver(), Table()]}, ["barebones"] * 3),
        ({"callbacks": [Bar(), Bar()]}, ["callbacks"]),
        ({"callbacks": [Stateful(), Stateful()]}, ["callbacks"]),
        ({"callbacks": [Stateful(), Plain(), Plain()]}, []),
        ({"plugins": [FakePrecision(), FakePrecision()]}, ["plugins"]),
        ({"plugins": [FakePrecision()], "precision": "32-true"}, ["precision"]),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(arguments, at_fault):
    problems = read_settings(arguments).problems
    assert [problem.argument for problem in problems] == at_fault
    assert all(problem.remedy for problem in problems)


def test_pydantic_is_not_imported_before_the_first_check():
    code = "import fulmen_core.settings, fulmen_core.resolver, sys; print('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"
