"""Searches for a learning rate with two processes, and trains: started by test_search_over_processes."""

from __future__ import annotations

import json
import sys

import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L
from fulmen.tuner import Tuner


class Line(L.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.lr = 0.01
        self.layer = nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        return mse_loss(self.layer(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)


def data(batch_size):
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=batch_size)


def search(batch_size, **arguments):
    """Return what a search and the fit after it came to."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = L.Trainer(accelerator="cpu", max_epochs=1, enable_checkpointing=False, **quiet, **arguments)
    model = Line()
    curve = Tuner(trainer).lr_find(model, data(batch_size), min_lr=1e-4, max_lr=0.1, num_training=20)
    trainer.fit(model, data(batch_size))
    weights = model.layer.weight.flatten().tolist()
    outcome = {"losses": curve.raw_losses, "lr": model.lr, "suggestion": curve.suggestion(), "weights": weights}
    return {**outcome, "rank": trainer.global_rank}


if __name__ == "__main__":
    strategy, path = sys.argv[1:]
    outcome = search(4, strategy=strategy, devices=2)
    if outcome["rank"] == 0:  # every process of "ddp" comes here
        with open(path, "w") as file:
            json.dump(outcome, file)
