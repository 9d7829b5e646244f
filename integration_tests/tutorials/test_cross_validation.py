"""Trainers and data modules that are made and used several times."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


def loss_of(model, subset) -> float:
    x, y = (torch.stack(column) for column in zip(*subset, strict=True))
    with torch.no_grad():
        return torch.nn.functional.mse_loss(model.net(x), y).item()


def test_each_fold_is_a_run_of_its_own_and_repeats_exactly(load) -> None:
    ran = load("cross_validation").main()
    assert ran.losses[0] == ran.losses[3]
    assert len(set(ran.losses)) == 3
    for name, value in ran.first.state_dict().items():
        assert torch.equal(value, ran.again.state_dict()[name])
    folders = sorted(str(path.relative_to("folds")) for path in Path("folds").glob("*/version_*"))
    assert folders == ["fold_0/version_0", "fold_0/version_1", "fold_1/version_0", "fold_2/version_0"]


def test_validation_test_and_prediction_come_before_a_fit_and_leave_it_alone(load) -> None:
    program = load("cross_validation")
    ran = program.before_fit()
    fresh = program.LitModel()
    fresh.load_state_dict(ran.start)
    data = program.FoldData()
    data.setup("fit")
    before = loss_of(fresh, data.val)
    assert ran.validated == [{"val_loss": pytest.approx(before, rel=1e-5)}]
    assert ran.tested == [{"test_loss": pytest.approx(before, rel=1e-5)}]
    assert ran.predicted.shape == (20, 1)
    assert ran.after == [{"val_loss": pytest.approx(loss_of(ran.model, data.val), rel=1e-5)}]
    assert ran.after[0]["val_loss"] < before
    assert ran.trainer.global_step == 3 * 5
    assert ran.setups == ["validate", "test", "predict", "fit", "validate"]


def test_a_data_module_serves_two_models(load) -> None:
    program = load("cross_validation")
    ran = program.one_data_module_for_two()
    assert ran.setups == ["fit", "fit"]
    assert not torch.equal(ran.weights["net.0.weight"], ran.second["net.0.weight"])


def test_a_second_fit_of_one_trainer_trains_again(load) -> None:
    program = load("cross_validation")
    trainer, model, data = program.make_trainer("twice"), program.LitModel(), program.FoldData()
    trainer.fit(model, datamodule=data)
    once = {name: value.clone() for name, value in model.state_dict().items()}
    trainer.fit(model, datamodule=data)
    assert trainer.global_step == 15
    assert not torch.equal(once["net.0.weight"], model.state_dict()["net.0.weight"])
