"""A program in which rank one fails, or all wait for ever: `failing_program.py KIND FOLDER`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from ddp_program import trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fulmen_core import LightningModule

KIND, FOLDER = sys.argv[1], Path(sys.argv[2])


class Failing(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        (FOLDER / f"pid{self.global_rank}").write_text(str(os.getpid()))
        if KIND == "waiting":
            time.sleep(600)
        if batch_idx == 1 and self.global_rank == 1:
            raise KeyError("rank one has had enough")
        return self.layer(batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


if __name__ == "__main__":
    trainer(max_epochs=1).fit(Failing(), DataLoader(torch.ones(20, 1), batch_size=2))
