"""Runs that go on from a checkpoint with another size of the accumulation window than it was written with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_cases import Line, loader, trainer, weights

from fulmen_interfaces import Callback

BATCHES = 6


class SaveAfter(Callback):
    """Writes a checkpoint behind so many batches."""

    def __init__(self, batches: int, path: Path) -> None:
        self.batches, self.path = batches, path

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx + 1 == self.batches:
            trainer.save_checkpoint(self.path)


def by_hand(windows: list[int]) -> dict[str, torch.Tensor]:
    """Return the weights after windows of these sizes, each a step with the mean of its batches' losses."""
    module, batches = Line(), iter(loader(BATCHES))
    optimizer = module.configure_optimizers()
    for size in windows:
        optimizer.zero_grad()
        torch.stack([module.loss(next(batches)) for _ in range(size)]).mean().backward()
        optimizer.step()
    return weights(module)


@pytest.mark.parametrize(
    ("saved_after", "before", "after", "windows"),
    [
        (4, 4, 1, [4, 1, 1]),
        (4, 2, 1, [2, 2, 1, 1]),
        (2, 4, 1, [3, 1, 1, 1]),
        (3, 1, 3, [1, 1, 1, 3]),
        (2, 2, 4, [2, 4]),
    ],
)
def test_a_run_may_go_on_with_other_windows(
    tmp_path: Path, saved_after: int, before: int, after: int, windows: list[int]
) -> None:
    """A window that is open in the file is closed with the first batch where the new size is less than it holds."""
    path = tmp_path / "saved.ckpt"
    trainer(accumulate_grad_batches=before, callbacks=[SaveAfter(saved_after, path)]).fit(Line(), loader(BATCHES))
    module = Line()
    resumed = trainer(accumulate_grad_batches=after)
    resumed.fit(module, loader(BATCHES), ckpt_path=path)
    torch.testing.assert_close(weights(module), by_hand(windows))
    assert resumed.global_step == len(windows)
