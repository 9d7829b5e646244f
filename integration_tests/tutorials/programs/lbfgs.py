"""Regression with an optimizer that evaluates the loss several times per step."""

from types import SimpleNamespace

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L


class Regression(L.LightningModule):
    def __init__(self, optimizer="lbfgs"):
        super().__init__()
        self.save_hyperparameters()
        self.model = nn.Linear(4, 1)
        self.evaluations = 0

    def training_step(self, batch, batch_idx):
        x, y = batch
        self.evaluations += 1
        loss = nn.functional.mse_loss(self.model(x), y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.LBFGS(self.parameters(), lr=0.8, max_iter=6, history_size=4)


def table():
    generator = torch.Generator().manual_seed(8)
    x = torch.randn(40, 4, generator=generator)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]]) + 0.7
    return x, y


def main(**arguments):
    L.seed_everything(2)
    model = Regression()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **arguments,
    )
    trainer.fit(model, DataLoader(TensorDataset(*table()), batch_size=20))
    return SimpleNamespace(
        model=model,
        weights=model.state_dict(),
        metrics=dict(trainer.callback_metrics),
        evaluations=model.evaluations,
        steps=trainer.global_step,
    )


def clipped():
    return main(gradient_clip_val=5.0)


if __name__ == "__main__":
    main()
