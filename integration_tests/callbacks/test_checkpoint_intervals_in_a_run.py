"""Checkpoints at intervals with a unit: which files a run leaves, and that its plan foretold them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import fulmen_core as L
from fulmen_callbacks import ModelCheckpoint

BATCHES, BATCH_SIZE, EPOCHS = 6, 4, 2


class Net(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.layer(batch[0]).square().mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("loss", self.layer(batch[0]).square().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def loader() -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.randn(BATCHES * BATCH_SIZE, 2)), batch_size=BATCH_SIZE)


@pytest.mark.parametrize(
    ("every", "accumulate", "steps"),
    [
        ("4 steps", 1, [4, 8, 12]),
        ("50 %", 1, [3, 6, 9, 12]),
        ("50 %", 2, [1, 2, 3, 4, 5, 6]),
        ("20 samples", 1, [5, 10]),
        ("16 samples", 2, [2, 4, 6]),
        ("1 epoch", 1, [6, 12]),
        ("2 epochs", 1, [12]),
    ],
)
def test_files_are_written_when_the_plan_says(tmp_path: Path, every: str, accumulate: int, steps: list[int]) -> None:
    keeper = ModelCheckpoint(tmp_path, save_top_k=-1, every=every)
    trainer = L.Trainer(
        accelerator="cpu",
        callbacks=[keeper],
        max_epochs=EPOCHS,
        accumulate_grad_batches=accumulate,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    (table,) = [one for one in trainer.plan(loader(), loader()).timetables if one.what == "checkpoints"]
    trainer.fit(Net(), loader(), loader())
    assert sorted(int(re.findall(r"step=(\d+)", file.name)[0]) for file in tmp_path.iterdir()) == steps
    assert table.moments is not None
    per_epoch = BATCHES // accumulate
    foretold = [moment.epoch * per_epoch + moment.batch // accumulate for moment in table.moments]
    assert foretold == steps[:5]
