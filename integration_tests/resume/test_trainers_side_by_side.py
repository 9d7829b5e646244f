"""A Trainer can be used again, and two in one process do not disturb each other."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from resume_cases import Case, Net

import fulmen_core as L
from fulmen_callbacks import ModelCheckpoint
from fulmen_interfaces import Callback
from fulmen_testing import FakeLogger

CALM = Case(dropout=False, shuffle=False, scheduler="step", accumulate=2, log_every_n_steps=1, max_epochs=1)
OTHER = Case(dropout=False, shuffle=False, optimizer="momentum", val_check_interval=2, log_every_n_steps=1)
pytestmark = pytest.mark.filterwarnings("ignore:The checkpoint directory")


def trainer(case: Case, **arguments: Any) -> L.Trainer:
    quiet = {"logger": FakeLogger(), "enable_progress_bar": False, "enable_model_summary": False}
    return L.Trainer(**{**case.trainer_arguments(), **quiet, **arguments})


def module(case: Case) -> Net:
    torch.manual_seed(9)
    return case.make_module()


def fit(trainer: L.Trainer, net: Net, **options: Any) -> None:
    train, validation = net.case.make_data()
    trainer.fit(net, train, validation, **options)


def same(one: Net, other: Net) -> bool:
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_a_second_fit_trains_again_with_new_optimizers() -> None:
    once, twice = module(CALM), module(CALM)
    for _ in range(2):
        fit(trainer(CALM), once)
    again = trainer(CALM)
    fit(again, twice)
    first = copy.deepcopy(twice.state_dict())
    fit(again, twice)
    assert same(twice, once)
    assert not all(torch.equal(value, twice.state_dict()[name]) for name, value in first.items())
    assert (again.global_step, again.current_epoch) == (3, 1)
    steps = [step for step, _ in again.logger.metrics]
    assert steps[: len(steps) // 2] == steps[len(steps) // 2 :]


def test_the_same_trainer_takes_another_module() -> None:
    used, first, second, alone = trainer(OTHER), module(CALM), module(OTHER), module(OTHER)
    fit(used, first)
    fit(used, second)
    fit(trainer(OTHER), alone)
    assert same(second, alone)


def test_a_used_trainer_resumes_like_a_new_one(tmp_path: Path) -> None:
    case = Case(max_epochs=2)
    L.seed_everything(3, verbose=False)
    keeper = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=5, save_top_k=-1)
    whole = module(case)
    used = trainer(case, callbacks=[keeper], enable_checkpointing=True)
    fit(used, whole)
    resumed = module(case)
    fit(used, resumed, ckpt_path=tmp_path / "epoch=0-step=5.ckpt")
    assert same(resumed, whole)
    assert used.global_step == 12


def test_two_trainers_that_take_turns_train_as_each_would_alone() -> None:
    alone = {case: module(case) for case in (CALM, OTHER)}
    lonely = {case: trainer(case) for case in alone}
    turns = {case: module(case) for case in alone}
    sharing = {case: trainer(case) for case in alone}
    for case in alone:
        for _ in range(2):
            fit(lonely[case], alone[case])
    for _ in range(2):
        for case in alone:
            fit(sharing[case], turns[case])
    for case in alone:
        assert same(turns[case], alone[case])
        assert sharing[case].logger.metrics == lonely[case].logger.metrics
        assert sharing[case].callback_metrics == lonely[case].callback_metrics
        assert turns[case].trainer is sharing[case]


def test_a_fit_within_a_fit_changes_nothing_in_the_outer_one() -> None:
    class FitsAnother(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx in (1, 4):
                fit(inner, net)
                assert pl_module.trainer is trainer
                assert trainer.training

        def on_validation_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
            inner.validate(net, OTHER.make_data()[1], verbose=False)
            assert trainer.validating or trainer.sanity_checking

    inner, net, inner_alone = trainer(OTHER), module(OTHER), module(OTHER)
    alone, outer = module(CALM), module(CALM)
    quiet, busy = trainer(CALM), trainer(CALM, callbacks=[FitsAnother()])
    fit(quiet, alone)
    fit(busy, outer)
    assert same(outer, alone)
    assert busy.logger.metrics == quiet.logger.metrics
    assert (busy.global_step, busy.current_epoch) == (quiet.global_step, quiet.current_epoch)
    for _ in range(2):
        fit(trainer(OTHER), inner_alone)
    assert same(net, inner_alone)


def test_evaluation_between_fits_leaves_no_trace() -> None:
    plain, checked = module(CALM), module(CALM)
    one, other = trainer(CALM), trainer(CALM)
    for _ in range(2):
        fit(one, plain)
    fit(other, checked)
    other.validate(checked, CALM.make_data()[1], verbose=False)
    fit(other, checked)
    assert same(checked, plain)
    assert other.callback_metrics == one.callback_metrics
