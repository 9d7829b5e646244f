"""torchmetrics objects: one per stage, logged as objects, and a collection of several."""

from types import SimpleNamespace

import torch
import torchmetrics
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L
from fulmen.callbacks import ModelCheckpoint
from fulmen.loggers import CSVLogger


class LitMeasured(L.LightningModule):
    def __init__(self, num_classes=3):
        super().__init__()
        self.layer = nn.Linear(5, num_classes)
        self.train_acc = torchmetrics.classification.Accuracy(task="multiclass", num_classes=num_classes)
        self.valid_acc = torchmetrics.classification.Accuracy(task="multiclass", num_classes=num_classes)
        metrics = torchmetrics.MetricCollection(
            [
                torchmetrics.classification.MulticlassAccuracy(num_classes),
                torchmetrics.classification.MulticlassPrecision(num_classes),
                torchmetrics.classification.MulticlassF1Score(num_classes),
            ]
        )
        self.valid_metrics = metrics.clone(prefix="val_")
        self.test_metrics = metrics.clone(prefix="test_")
        self.mean_loss = torchmetrics.MeanMetric()
        self.by_hand = []

    def forward(self, x):
        return self.layer(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        preds = self(x)
        loss = F.cross_entropy(preds, y)
        self.train_acc(preds, y)
        self.log("train_acc", self.train_acc, on_step=True, on_epoch=True)
        self.mean_loss.update(loss, len(x))
        return loss

    def on_train_epoch_end(self):
        self.log("train_mean_loss", self.mean_loss.compute())
        self.mean_loss.reset()

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        self.valid_acc(logits, y)
        self.log("valid_acc", self.valid_acc, on_step=False, on_epoch=True, prog_bar=True)
        self.log_dict(self.valid_metrics(logits, y))

    def test_step(self, batch, batch_idx):
        x, y = batch
        self.test_metrics.update(self(x), y)

    def on_test_epoch_end(self):
        self.log_dict(self.test_metrics.compute())
        self.test_metrics.reset()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.05)


class LitCollection(LitMeasured):
    """The collection itself is handed to `log_dict`."""

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.valid_metrics.update(self(x), y)
        self.log_dict(self.valid_metrics, on_step=False, on_epoch=True)


def points(count, seed):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (count,), generator=generator)
    x = torch.eye(5)[y] + 0.5 * torch.randn(count, 5, generator=generator)
    return TensorDataset(x, y)


def main(module_class=LitMeasured):
    L.seed_everything(1)
    model = module_class()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=CSVLogger("logs", name="measured"),
        callbacks=[ModelCheckpoint(monitor="val_MulticlassF1Score", mode="max")],
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(points(50, 1), batch_size=8), DataLoader(points(30, 2), batch_size=8))
    metrics = dict(trainer.callback_metrics)
    tested = trainer.test(model, DataLoader(points(30, 3), batch_size=8), verbose=False)
    return SimpleNamespace(model=model, trainer=trainer, metrics=metrics, tested=tested, weights=model.state_dict())


def collection():
    return main(LitCollection)


if __name__ == "__main__":
    main()
