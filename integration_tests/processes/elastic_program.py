"""What torchrun starts on each machine: `elastic_program.py FOLDER SECONDS MACHINES`."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import fulmen_core as L
from fulmen_callbacks import ModelCheckpoint

FOLDER, PAUSE, MACHINES = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])


class Net(L.LightningModule):
    """Trains slowly enough for a machine to be lost amid of it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.5), nn.Linear(4, 1))
        self.trained = 0

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.trained += 1
        (FOLDER / f"rank{self.global_rank}.step").write_text(f"{self.trainer.global_step} {os.getpid()}")
        time.sleep(PAUSE)
        return self.net(batch).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.1)


def main() -> None:
    L.seed_everything(7, verbose=False)
    module = Net()
    trainer = L.Trainer(
        accelerator="cpu",
        devices=2 // MACHINES,
        num_nodes=MACHINES,
        strategy="ddp",
        max_epochs=2,
        callbacks=[ModelCheckpoint(dirpath=FOLDER / "checkpoints", every_n_train_steps=1, save_last=True)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(torch.arange(40.0).unsqueeze(1), shuffle=True), ckpt_path="last")
    weights = {name: values.tolist() for name, values in module.state_dict().items()}
    outcome = {"weights": weights, "trained": module.trained, "steps": trainer.global_step, "rank": trainer.global_rank}
    (FOLDER / f"rank{trainer.global_rank}.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    main()
