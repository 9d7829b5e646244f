"""Modules made where they will be trained, and what a Trainer shows of that."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields

import pytest
import torch
from kernel_cases import Line, loader, trainer
from torch import nn

from fulmen_core import Trainer
from fulmen_core.settings import TrainerSettings
from fulmen_core.trainer._arguments import TrainerArguments
from fulmen_interfaces import ModuleError


def test_modules_are_made_in_the_precision_of_the_trainer() -> None:
    with trainer(precision="bf16-true").init_module():
        assert nn.Linear(2, 2).weight.dtype is torch.bfloat16
    assert nn.Linear(2, 2).weight.dtype is torch.float32


def test_empty_modules_draw_no_random_numbers() -> None:
    before = torch.get_rng_state()
    with trainer().init_module(empty_init=True):
        module = nn.Linear(3, 2)
    assert module.weight.shape == (2, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_configure_model_runs_in_that_context() -> None:
    class Late(Line):
        def configure_model(self) -> None:
            self.layer = nn.Linear(4, 1)
            self.made = (self.layer.weight.dtype, self.layer.weight.device.type)

    module = Late()
    trainer(precision="64-true").fit(module, loader(4))
    assert module.made == (torch.float64, "cpu")


def test_signature_names_every_argument_with_its_default() -> None:
    parameters = inspect.signature(Trainer).parameters
    assert set(parameters) == set(TrainerArguments.__annotations__)
    settings = TrainerSettings()
    assert parameters["max_steps"].default == settings.max_steps == -1
    assert parameters["accelerator"].default == "auto"
    assert all(one.kind is one.KEYWORD_ONLY for one in parameters.values())
    assert parameters["devices"].annotation == "int | str | Sequence[int]"


def test_help_says_of_every_argument_what_it_means() -> None:
    told = re.findall(r"^ {8}(\w+): \S", TrainerSettings.__doc__ or "", re.MULTILINE)
    assert told == [field.name for field in fields(TrainerSettings)]


def test_the_scaler_is_shown_where_the_loss_is_scaled() -> None:
    scaled = trainer(precision="16-mixed")
    assert scaled.scaler is None
    scaled.fit(Line(), loader(4))
    assert scaled.scaler is not None
    assert scaled.scaler.state_dict()["scale"] > 0
    plain = trainer()
    plain.fit(Line(), loader(4))
    assert plain.scaler is None


def test_setting_optimizers_says_what_would_work() -> None:
    fitted = trainer()
    fitted.fit(Line(), loader(4))
    with pytest.raises(ModuleError, match="configure_optimizers"):
        fitted.optimizers = []
