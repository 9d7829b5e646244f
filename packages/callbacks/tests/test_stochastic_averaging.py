"""Stochastic weight averaging: which weights are taken in, and what becomes of learning rates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import StepLR

from fulmen_callbacks import StochasticWeightAveraging
from fulmen_interfaces import ConfigurationError, LRSchedulerConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"swa_lrs": 0.0},
        {"swa_lrs": [0.1, -1.0]},
        {"swa_lrs": []},
        {"swa_lrs": "fast"},
        {"swa_epoch_start": 0},
        {"swa_epoch_start": 1.5},
        {"annealing_epochs": -1},
        {"annealing_strategy": "steep"},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(wrong))}="):
        StochasticWeightAveraging(**{"swa_lrs": 0.1, **wrong})


@pytest.mark.parametrize(
    ("start", "taken"), [(1, [0, 1, 2, 3]), (3, [2, 3]), (0.5, [1, 2, 3]), (1.0, [3]), (0.0, [0, 1, 2, 3]), (9, [])]
)
def test_weights_are_taken_in_from_an_epoch_on(start: float, taken: list[int], make_trainer: Any, module: Any) -> None:
    trainer = make_trainer(max_epochs=4, optimizers=[torch.optim.SGD(module.parameters(), lr=1.0)])
    callback = StochasticWeightAveraging(0.1, start)
    callback.setup(trainer, module, "fit")
    callback.on_fit_start(trainer, module)
    callback.on_train_start(trainer, module)
    for trainer.current_epoch in range(4):
        with torch.no_grad():
            module.layer.weight.fill_(float(trainer.current_epoch))
        callback.on_train_epoch_start(trainer, module)
        callback.on_train_epoch_end(trainer, module)
    callback.on_train_end(trainer, module)
    mean = sum(taken) / len(taken) if taken else 3.0
    assert torch.allclose(module.layer.weight, torch.full((1, 2), mean))


def test_the_modules_scheduler_rests_and_keeps_its_state(make_trainer: Any, module: Any) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    own = StepLR(optimizer, 1, 0.5)
    config = LRSchedulerConfig(own)
    trainer = make_trainer(max_epochs=2, optimizers=[optimizer], lr_scheduler_configs=[config])
    callback = StochasticWeightAveraging(0.25, 1, annealing_epochs=1)
    callback.setup(trainer, module, "fit")
    callback.on_fit_start(trainer, module)
    callback.on_train_start(trainer, module)
    callback.on_train_epoch_start(trainer, module)
    before = own.state_dict()
    config.scheduler.step()
    assert config.scheduler.state_dict() == before
    assert optimizer.param_groups[0]["lr"] == 1.0
    callback.on_train_epoch_end(trainer, module)
    assert config.scheduler.get_last_lr() == [optimizer.param_groups[0]["lr"]] == [0.25]


def test_one_rate_by_parameter_group(make_trainer: Any, module: Any) -> None:
    groups = [{"params": [module.layer.weight], "lr": 1.0}, {"params": [module.layer.bias], "lr": 2.0}]
    optimizer = torch.optim.SGD(groups)
    trainer = make_trainer(max_epochs=2, optimizers=[optimizer])
    callback = StochasticWeightAveraging([0.25, 0.5], 1, annealing_epochs=0)
    callback.setup(trainer, module, "fit")
    callback.on_fit_start(trainer, module)
    callback.on_train_start(trainer, module)
    callback.on_train_epoch_start(trainer, module)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.5]


def test_a_parameter_group_that_comes_later_is_annealed_too(make_trainer: Any, module: Any) -> None:
    optimizer = torch.optim.SGD([module.layer.weight], lr=1.0)
    trainer = make_trainer(max_epochs=3, optimizers=[optimizer])
    callback = StochasticWeightAveraging(0.25, 1, annealing_epochs=1)
    callback.setup(trainer, module, "fit")
    callback.on_fit_start(trainer, module)
    callback.on_train_start(trainer, module)
    for trainer.current_epoch in range(3):
        callback.on_train_epoch_start(trainer, module)
        if trainer.current_epoch == 1:
            optimizer.add_param_group({"params": [module.layer.bias], "lr": 2.0})
        callback.on_train_epoch_end(trainer, module)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
