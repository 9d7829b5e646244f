"""Trains one step over two processes and prints which calls of ours led to it: `frames_program.py STRATEGY`."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

import fulmen as L


def ours() -> list[str]:
    """The names of our functions on the stack, the outermost first."""
    stack = traceback.extract_stack()
    return [one.name for one in stack if any(part.startswith("fulmen_") for part in Path(one.filename).parts)]


class Looking(L.LightningModule):
    """Prints what stands between `fit` and its step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Print, and compute a loss."""
        if self.global_rank == 0:
            names = ours()
            print(*names[names.index("fit") + 1 :])
        loss: Tensor = self.layer(batch).sum()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain SGD."""
        return torch.optim.SGD(self.parameters(), lr=0.1)


if __name__ == "__main__":
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(
        accelerator="cpu", devices=2, strategy=sys.argv[1], max_steps=1, enable_model_summary=False, **quiet
    )
    trainer.fit(Looking(), DataLoader(torch.ones(4, 4)))
