"""Windows whose size a module changes while it is trained."""

from __future__ import annotations

from typing import Any

import pytest
from kernel_cases import Line, differences, loader, trainer, twins

from fulmen_interfaces import ConfigurationError


class Growing(Line):
    """Each epoch accumulates one batch more."""

    def on_train_epoch_start(self) -> None:
        self.trainer.accumulate_grad_batches = self.current_epoch + 1


def test_windows_may_grow_from_epoch_to_epoch() -> None:
    ours, theirs = twins(Growing)
    trainer(max_epochs=3).fit(ours, loader(5))
    optimizer = theirs.configure_optimizers()
    for size in (1, 2, 3):
        batches = list(loader(5))
        for begin in range(0, 5, size):
            window = batches[begin : begin + size]
            optimizer.zero_grad()
            for batch in window:
                loss = theirs.loss(batch)
                (loss / len(window) if len(window) > 1 else loss).backward()
            optimizer.step()
    assert differences(ours, theirs) == []


@pytest.mark.parametrize("size", [0, -1, 1.5, True])
def test_a_window_holds_whole_batches(size: Any) -> None:
    class Wrong(Line):
        def on_train_epoch_start(self) -> None:
            self.trainer.accumulate_grad_batches = size

    with pytest.raises(ConfigurationError, match="whole number of batches"):
        trainer(max_epochs=1, accumulate_grad_batches=2).fit(Wrong(), loader(2))


def test_an_open_window_keeps_its_size() -> None:
    class Eager(Line):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == 0:
                self.trainer.accumulate_grad_batches = 3

    with pytest.raises(ConfigurationError, match="1 of the 2 batches"):
        trainer(max_epochs=1, accumulate_grad_batches=2).fit(Eager(), loader(4))


def test_without_a_fit_there_is_nothing_to_set() -> None:
    idle = trainer(max_epochs=1)
    with pytest.raises(ConfigurationError, match="There is no fit under way"):
        idle.accumulate_grad_batches = 2
    idle.fit(Line(), loader(2))
    with pytest.raises(ConfigurationError, match="There is no fit under way"):
        idle.accumulate_grad_batches = 2
