"""A run on four processes, two copies of two parts each, which writes what each saw: `hybrid_program.py FOLDER`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, TensorDataset

from fulmen_core import LightningModule, Trainer
from fulmen_strategy_fsdp import FSDPStrategy


class Regression(LightningModule):
    """Two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.head = nn.Linear(4, 1)
        self.seen: list[int] = []

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        loss: Tensor = (self.head(torch.tanh(self.body(batch[0]))) - batch[1]).pow(2).mean()
        return loss

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.seen.append(len(batch[0]))
        self.log("loss", self.loss(batch), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.02)


def samples(count: int) -> TensorDataset:
    features = torch.randn(count, 3, generator=torch.Generator().manual_seed(7))
    return TensorDataset(features, features.sum(1, keepdim=True))


def main(folder: Path) -> None:
    torch.manual_seed(int(os.environ.get("RANK", "0")))
    module = Regression()
    strategy = FSDPStrategy(auto_wrap_policy={nn.Linear}, sharding_strategy="HYBRID_SHARD", device_mesh=(2, 2))
    run = Trainer(
        accelerator="cpu",
        devices=4,
        strategy=strategy,
        max_epochs=2,
        accumulate_grad_batches=2,
        gradient_clip_val=0.1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        logger=False,
    )
    run.fit(module, DataLoader(samples(32), batch_size=2), DataLoader(samples(5)))
    run.save_checkpoint(folder / "hybrid.ckpt")
    weight = module.body.weight
    local = tuple(weight.to_local().shape) if isinstance(weight, DTensor) else None
    rank = run.global_rank
    (folder / f"rank{rank}.json").write_text(json.dumps({"local": local, "seen": module.seen}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
