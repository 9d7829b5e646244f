"""A task of a SLURM job: `slurm_program.py FOLDER`. What it came to lies in FOLDER afterwards."""

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

FOLDER = Path(sys.argv[1])


class Net(L.LightningModule):
    """Trains slowly enough for a warning to come amid of it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 4), nn.Dropout(0.5), nn.Linear(4, 1))
        self.trained: list[int] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.trained.append(self.trainer.current_epoch * 20 + batch_idx)
        print("step", batch_idx, flush=True)
        time.sleep(0.05)
        return self.net(batch).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.1)


def main() -> None:
    L.seed_everything(7, verbose=False)
    module = Net()
    trainer = L.Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        max_epochs=2,
        default_root_dir=FOLDER,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(torch.arange(40.0).unsqueeze(1), shuffle=True))
    weights = {name: values.tolist() for name, values in module.state_dict().items()}
    outcome = {"weights": weights, "trained": module.trained, "steps": trainer.global_step}
    (FOLDER / f"rank{os.environ['SLURM_PROCID']}.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    main()
