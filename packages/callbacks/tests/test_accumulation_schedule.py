"""The size of accumulation windows by epoch."""

from __future__ import annotations

from typing import Any

import pytest

from fulmen_callbacks import GradientAccumulationScheduler
from fulmen_interfaces import ConfigurationError, SchedulesAccumulation


def test_each_epoch_has_the_size_that_was_set_last(make_trainer: Any) -> None:
    callback, trainer = GradientAccumulationScheduler({2: 3, 4: 2}), make_trainer()
    callback.setup(trainer, None, "fit")  # type: ignore[arg-type]
    sizes = []
    for epoch in range(6):
        trainer.current_epoch = epoch
        callback.on_train_epoch_start(trainer, None)  # type: ignore[arg-type]
        sizes.append(trainer.accumulate_grad_batches)
    assert sizes == [1, 1, 3, 3, 2, 2]
    assert isinstance(callback, SchedulesAccumulation)
    assert callback.going_to_accumulate_grad_batches()
    assert not GradientAccumulationScheduler({3: 1}).going_to_accumulate_grad_batches()


def test_one_says_how_much_is_accumulated(make_trainer: Any) -> None:
    trainer = make_trainer(accumulate_grad_batches=2)
    with pytest.raises(ConfigurationError, match=r"accumulate_grad_batches=2: .* scheduling=\{0: 2\}"):
        GradientAccumulationScheduler({1: 4}).setup(trainer, None, "fit")  # type: ignore[arg-type]
    GradientAccumulationScheduler({1: 4}).setup(trainer, None, "test")  # type: ignore[arg-type]


@pytest.mark.parametrize("scheduling", [{}, 4, {-1: 2}, {"1": 2}, {0: 0}, {1: 2.0}, {1: True}])
def test_nonsense_is_refused(scheduling: Any) -> None:
    with pytest.raises(ConfigurationError, match="scheduling="):
        GradientAccumulationScheduler(scheduling)
