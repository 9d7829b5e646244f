"""A program of two ranks that do not come to their end together: `ending_program.py STRATEGY KIND`."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader

import fulmen_core as L


class Net(L.LightningModule):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.spare = nn.Linear(1, 1) if kind == "unused" else None

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.layer(batch).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def after_the_fit(kind: str, rank: int) -> None:
    if kind == "works on" and rank == 1:
        time.sleep(40)  # such as one that writes its predictions
    if (kind, rank) in (("waits alone", 1), ("fails", 0)):
        dist.all_reduce(torch.ones(1))
    if kind == "fails" and rank == 1:
        raise KeyError("behind the fit")


def main(strategy: str, kind: str) -> None:
    trainer = L.Trainer(
        accelerator="cpu",
        devices=2,
        strategy=strategy,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Net(kind), DataLoader(torch.ones(8, 1)))
    rank = int(os.environ["RANK"])
    after_the_fit(kind, rank)
    print(f"rank {rank} came to its end", flush=True)


if __name__ == "__mp_main__" and sys.argv[2] == "sleeps":  # a spawned rank, before it knows which
    print("sleeps", flush=True)
    time.sleep(120)
if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
