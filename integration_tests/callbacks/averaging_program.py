"""Trains with a callback that averages or unfreezes weights, on as many processes as asked; rank zero writes results.

usage: averaging_program.py STRATEGY DEVICES CALLBACK FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import fulmen_core as L
from fulmen_callbacks import BaseFinetuning, EMAWeightAveraging, ModelCheckpoint, StochasticWeightAveraging

SAMPLES, BATCH = 48, 8


class Unfreezing(BaseFinetuning):
    """Trains the first layer from the second epoch on."""

    def freeze_before_training(self, pl_module: Any) -> None:
        self.freeze(pl_module.net[0])

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: torch.optim.Optimizer) -> None:
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.net[0], optimizer, lr=0.05)


CALLBACKS = {
    "ema": lambda: EMAWeightAveraging(decay=0.7),
    "swa": lambda: StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=2, annealing_epochs=2, device=None),
    "unfreezing": Unfreezing,
}


class Net(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        return (self.net(x) - y).square().mean()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([one for one in self.parameters() if one.requires_grad], lr=0.1, momentum=0.9)


def fit(strategy: str, devices: int, callback: str, folder: Path, ckpt_path: Path | None, epochs: int) -> L.Trainer:
    generator = torch.Generator().manual_seed(1)
    data = TensorDataset(torch.randn(SAMPLES, 6, generator=generator), torch.randn(SAMPLES, 1, generator=generator))
    loader = DataLoader(data, batch_size=BATCH // devices)
    keeper = ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1)
    trainer = L.Trainer(
        accelerator="cpu",
        strategy=strategy,
        devices=devices,
        max_epochs=epochs,
        callbacks=[CALLBACKS[callback](), keeper],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Net(), loader, loader, ckpt_path=ckpt_path)
    return trainer


def main() -> None:
    strategy, devices, callback, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    whole = fit(strategy, devices, callback, folder / "whole", None, 4)
    whole.save_checkpoint(folder / "whole.ckpt", weights_only=True)
    resumed = fit(strategy, devices, callback, folder / "resumed", folder / "whole" / "epoch=1.ckpt", 4)
    resumed.save_checkpoint(folder / "resumed.ckpt", weights_only=True)
    if whole.is_global_zero:
        torch.save({"val_loss": whole.callback_metrics["val_loss"]}, folder / "metrics.pt")


if __name__ == "__main__":
    main()
