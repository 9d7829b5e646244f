"""Names, moments and values of logged learning rates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from callback_fakes import Module
from torch.optim.lr_scheduler import StepLR

from fulmen_callbacks import LearningRateMonitor
from fulmen_interfaces import ConfigurationError, LRSchedulerConfig, World


def parameters() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.zeros(1))]


def run(callback: LearningRateMonitor, trainer: Any, *, accumulate: int = 1) -> list[tuple[int, dict[str, float]]]:
    """Three batches in each of two epochs, the schedulers stepped as a fit does."""
    module: Any = Module()
    callback.on_train_start(trainer, module)
    for _ in range(2):
        callback.on_train_epoch_start(trainer, module)
        for batch in range(3):
            callback.on_train_batch_start(trainer, module, None, batch)
            if (batch + 1) % accumulate and batch != 2:
                continue
            for optimizer in trainer.optimizers:
                optimizer.step()
            trainer.logging_step += 1
            for config in trainer.lr_scheduler_configs:
                if config.interval == "step" or batch == 2:
                    config.scheduler.step()
    assert all(module.logged.items() >= row.items() for _, row in trainer.loggers[0].rows[-1:])
    return [(step, {name: round(value, 6) for name, value in row.items()}) for step, row in trainer.loggers[0].rows]


def scheduled(optimizer: Any, position: int = 0, **settings: Any) -> LRSchedulerConfig:
    return LRSchedulerConfig(StepLR(optimizer, 1, 0.5), opt_idx=position, **settings)


@pytest.fixture
def make(make_trainer: Any, memory_logger: Any) -> Any:
    def trainer(*optimizers: Any, schedulers: Any = (), **settings: Any) -> Any:
        return make_trainer(
            loggers=[memory_logger()],
            optimizers=list(optimizers),
            lr_scheduler_configs=list(schedulers),
            **{"log_every_n_steps": 1, **settings},
        )

    return trainer


def test_a_scheduler_by_epoch_is_logged_by_epoch(make: Any) -> None:
    sgd = torch.optim.SGD(parameters(), lr=0.1)
    callback = LearningRateMonitor()
    assert run(callback, make(sgd, schedulers=[scheduled(sgd)])) == [(0, {"lr-SGD": 0.1}), (3, {"lr-SGD": 0.05})]
    assert callback.lrs == {"lr-SGD": [0.1, 0.05]}


def test_a_scheduler_by_step_is_logged_by_step(make: Any) -> None:
    sgd = torch.optim.SGD(parameters(), lr=0.1)
    rows = run(LearningRateMonitor(), make(sgd, schedulers=[scheduled(sgd, interval="step")]))
    assert rows == [(step, {"lr-SGD": round(0.1 * 0.5**step, 6)}) for step in range(6)]


def test_steps_between_those_that_are_logged_are_left_out(make: Any) -> None:
    sgd = torch.optim.SGD(parameters(), lr=0.1)
    trainer = make(sgd, schedulers=[scheduled(sgd, interval="step")], log_every_n_steps=2)
    assert [step for step, _ in run(LearningRateMonitor(), trainer)] == [1, 3, 5]
    sgd = torch.optim.SGD(parameters(), lr=0.1)
    assert run(LearningRateMonitor("step"), make(sgd, log_every_n_steps=0)) == []


def test_a_step_of_several_batches_is_logged_once(make: Any) -> None:
    sgd = torch.optim.SGD(parameters(), lr=0.1)
    trainer = make(sgd, schedulers=[scheduled(sgd, interval="step")])
    assert [step for step, _ in run(LearningRateMonitor(), trainer, accumulate=2)] == [0, 1, 2, 3]


@pytest.mark.parametrize(("interval", "steps"), [("epoch", [0, 3]), ("step", [0, 1, 2, 3, 4, 5])])
def test_the_interval_may_be_given(interval: Any, steps: list[int], make: Any) -> None:
    sgd = torch.optim.SGD(parameters(), lr=0.1)
    trainer = make(sgd, schedulers=[scheduled(sgd, interval="step" if interval == "epoch" else "epoch")])
    assert [step for step, _ in run(LearningRateMonitor(interval), trainer)] == steps


def test_two_schedulers_of_one_optimizer_are_watched_together(make: Any) -> None:
    sgd = torch.optim.SGD(parameters(), lr=0.1)
    trainer = make(sgd, schedulers=[scheduled(sgd), scheduled(sgd, interval="step")])
    rows = run(LearningRateMonitor(), trainer)
    assert {name for _, row in rows for name in row} == {"lr-SGD"}
    assert [step for step, _ in rows] == [0, 0, 1, 2, 3, 3, 4, 5]


def test_groups_and_further_optimizers_have_names(make: Any) -> None:
    groups = torch.optim.SGD(
        [{"params": parameters(), "lr": 0.1, "name": "a"}, {"params": parameters(), "lr": 0.2}], lr=1.0
    )
    adam, second = torch.optim.Adam(parameters(), lr=0.3), torch.optim.Adam(parameters(), lr=0.4)
    trainer = make(groups, adam, second, schedulers=[scheduled(second, 2), scheduled(adam, 1, name="mine")])
    (_, row), *_ = run(LearningRateMonitor(), trainer)
    assert row == {"lr-Adam": 0.4, "mine": 0.3, "lr-SGD/a": 0.1, "lr-SGD/pg2": 0.2}

    adam, second = torch.optim.Adam(parameters(), lr=0.3), torch.optim.Adam(parameters(), lr=0.4)
    (_, row), *_ = run(LearningRateMonitor(log_key_prefix="opt/"), make(adam, second))
    assert row == {"opt/lr-Adam": 0.3, "opt/lr-Adam-1": 0.4}


def test_momentum_and_weight_decay(make: Any) -> None:
    sgd = torch.optim.SGD(parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    adam = torch.optim.Adam(parameters(), lr=0.1, betas=(0.8, 0.9))
    callback = LearningRateMonitor("epoch", log_momentum=True, log_weight_decay=True)
    (_, row), *_ = run(callback, make(sgd, adam))
    assert row == {
        "lr-SGD": 0.1,
        "lr-SGD-momentum": 0.9,
        "lr-SGD-weight_decay": 0.01,
        "lr-Adam": 0.1,
        "lr-Adam-momentum": 0.8,
        "lr-Adam-weight_decay": 0.0,
    }


def test_what_cannot_be_logged_is_refused(make: Any, make_trainer: Any) -> None:
    with pytest.raises(ConfigurationError, match="'step', 'epoch'"):
        LearningRateMonitor("batch")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no logger"):
        LearningRateMonitor().on_train_start(make_trainer(), None)  # type: ignore[arg-type]
    twins = [{"params": parameters(), "name": "a"}, {"params": parameters(), "name": "a"}]
    with pytest.raises(ConfigurationError, match="lr-SGD/a"):
        run(LearningRateMonitor(), make(torch.optim.SGD(twins, lr=0.1)))


def test_other_ranks_log_nothing(make: Any) -> None:
    sgd = torch.optim.SGD(parameters(), lr=0.1)
    callback = LearningRateMonitor()
    assert run(callback, make(sgd, world=World(rank=1, size=2))) == []
    assert callback.lrs["lr-SGD"]
