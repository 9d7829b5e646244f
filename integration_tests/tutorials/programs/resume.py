"""Going on: from the last checkpoint, from one in the middle of an epoch, with more epochs than were planned."""

from types import SimpleNamespace

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L
from fulmen.callbacks import EarlyStopping, ModelCheckpoint
from fulmen.loggers import CSVLogger


class LitNet(L.LightningModule):
    def __init__(self, width=12):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(6, width), nn.Tanh(), nn.Dropout(0.1), nn.Linear(width, 1))
        self.history = []

    def training_step(self, batch, batch_idx):
        x, y = batch
        self.history.append((self.current_epoch, batch_idx, x[0, 0].item()))
        loss = nn.functional.mse_loss(self.net(x), y)
        self.log("loss", loss, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", nn.functional.mse_loss(self.net(x), y))

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.02)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)]

    def on_save_checkpoint(self, checkpoint):
        checkpoint["batches_seen"] = len(self.history)

    def on_load_checkpoint(self, checkpoint):
        self.loaded_after = checkpoint["batches_seen"]


def loaders():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(60, 6, generator=generator)
    y = x.sum(1, keepdim=True).sin()
    train, val = TensorDataset(x[:40], y[:40]), TensorDataset(x[40:], y[40:])
    return DataLoader(train, batch_size=8, shuffle=True), DataLoader(val, batch_size=8)


def run(max_epochs, folder, ckpt_path=None, seed=5, **arguments):
    L.seed_everything(seed)
    model = LitNet()
    periodic = ModelCheckpoint(dirpath=f"{folder}/steps", filename="{step}", every_n_train_steps=3, save_top_k=-1)
    best = ModelCheckpoint(dirpath=f"{folder}/best", monitor="val_loss", save_last=True, filename="{epoch}")
    stop = EarlyStopping("val_loss", patience=50)
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=max_epochs,
        logger=CSVLogger(folder, name="logs"),
        callbacks=[periodic, best, stop],
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        **arguments,
    )
    trainer.fit(model, *loaders(), ckpt_path=ckpt_path)
    return SimpleNamespace(
        model=model,
        trainer=trainer,
        best=best,
        weights=model.state_dict(),
        history=model.history,
        steps=trainer.global_step,
        epoch=trainer.current_epoch,
        metrics=dict(trainer.callback_metrics),
    )


def main():
    run(2, "first")
    return run(4, "first", ckpt_path="first/best/last.ckpt", seed=99)


if __name__ == "__main__":
    main()
