"""A classifier with a data module, schedulers, early stopping, checkpoints and learning rates among the metrics."""

import os
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split

import fulmen as L
from fulmen.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from fulmen.loggers import CSVLogger


class ShapesDataModule(L.LightningDataModule):
    def __init__(self, data_dir: str = "data", batch_size: int = 32):
        super().__init__()
        self.save_hyperparameters()
        self.prepared, self.stages = 0, []

    def prepare_data(self):
        self.prepared += 1
        os.makedirs(self.hparams.data_dir, exist_ok=True)
        generator = torch.Generator().manual_seed(0)
        centres = torch.randn(4, 16, generator=generator)
        y = torch.randint(4, (400,), generator=generator)
        x = centres[y] + 1.5 * torch.randn(400, 16, generator=generator)
        torch.save({"x": x, "y": y}, os.path.join(self.hparams.data_dir, "shapes.pt"))

    def setup(self, stage: str):
        self.stages.append(stage)
        stored = torch.load(os.path.join(self.hparams.data_dir, "shapes.pt"))
        full = TensorDataset(stored["x"], stored["y"])
        parts = random_split(full, [256, 72, 72], generator=torch.Generator().manual_seed(42))
        if stage == "fit":
            self.train, self.val = parts[:2]
        if stage == "validate":
            self.val = parts[1]
        if stage in ("test", "predict"):
            self.held_out = parts[2]

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=self.hparams.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=self.hparams.batch_size)

    def test_dataloader(self):
        return DataLoader(self.held_out, batch_size=self.hparams.batch_size)

    def predict_dataloader(self):
        return DataLoader(self.held_out, batch_size=self.hparams.batch_size)


class LitClassifier(L.LightningModule):
    def __init__(self, hidden_dim: int = 24, learning_rate: float = 0.1, schedule: str = "step"):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Linear(16, hidden_dim), nn.BatchNorm1d(hidden_dim), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden_dim, 4)
        )

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        loss, acc = self._shared_eval_step(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True, prog_bar=True, logger=True)
        return {"loss": loss, "acc": acc}

    def validation_step(self, batch, batch_idx):
        loss, acc = self._shared_eval_step(batch)
        self.log_dict({"val_acc": acc, "val_loss": loss}, prog_bar=True)

    def test_step(self, batch, batch_idx):
        loss, acc = self._shared_eval_step(batch)
        metrics = {"test_acc": acc, "test_loss": loss}
        self.log_dict(metrics)
        return metrics

    def _shared_eval_step(self, batch):
        x, y = batch
        y_hat = self(x)
        return F.cross_entropy(y_hat, y), (y_hat.argmax(1) == y).float().mean()

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        x, _ = batch
        return self(x).argmax(dim=1)

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams.learning_rate, momentum=0.9)
        kind = self.hparams.schedule
        if kind == "step":
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)]
        if kind == "one_cycle":
            scheduler = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, max_lr=0.1, total_steps=self.trainer.estimated_stepping_batches
            )
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
        if kind == "warmup":
            scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 10))
            return [optimizer], [{"scheduler": scheduler, "interval": "step", "frequency": 1, "name": "warmup"}]
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=0, threshold=0.5)
        return {"optimizer": optimizer, "lr_scheduler": scheduler, "monitor": "val_loss"}


def main(schedule="step", max_epochs=6):
    L.seed_everything(42)
    data = ShapesDataModule(batch_size=32)
    model = LitClassifier(schedule=schedule)
    early_stop_callback = EarlyStopping(monitor="val_loss", min_delta=0.01, patience=2, verbose=False, mode="min")
    checkpoint_callback = ModelCheckpoint(
        monitor="val_acc",
        dirpath="checkpoints/",
        filename="shapes-{epoch:02d}-{val_acc:.2f}",
        save_top_k=3,
        mode="max",
    )
    lr_monitor = LearningRateMonitor(logging_interval="step")
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=max_epochs,
        logger=CSVLogger(save_dir="logs/"),
        callbacks=[early_stop_callback, checkpoint_callback, lr_monitor],
        log_every_n_steps=4,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=data)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    metrics = dict(trainer.callback_metrics)
    tested = trainer.test(model, datamodule=data, verbose=False)
    validated = trainer.validate(model, datamodule=data, verbose=False)
    predicted = trainer.predict(model, datamodule=data, ckpt_path="best")
    return SimpleNamespace(
        data=data,
        model=model,
        trainer=trainer,
        weights=weights,
        metrics=metrics,
        tested=tested,
        validated=validated,
        predicted=predicted,
        checkpoint=checkpoint_callback,
        early_stopping=early_stop_callback,
        names=sorted(os.listdir("checkpoints")),
        rates=list(lr_monitor.lrs.values()),
    )


def step():
    return main("step")


def one_cycle():
    return main("one_cycle")


def warmup():
    return main("warmup", max_epochs=2)


def plateau():
    return main("plateau")


if __name__ == "__main__":
    main()
