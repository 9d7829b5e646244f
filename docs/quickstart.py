"""Train a small convolutional network on scikit-learn's handwritten digits.

Run it with `python docs/quickstart.py`; it takes less than a minute on two cores.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

import fulmen as L
from fulmen.callbacks import ModelCheckpoint


class DigitsData(L.LightningDataModule):
    """1,797 images of 8 × 8 pixels, in three parts."""

    def setup(self, stage):
        digits = load_digits()
        images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
        dataset = TensorDataset(images, torch.tensor(digits.target))
        self.train, self.val, self.test = random_split(dataset, [0.7, 0.15, 0.15], torch.Generator().manual_seed(0))

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=64, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=256)

    def test_dataloader(self):
        return DataLoader(self.test, batch_size=256)

    def predict_dataloader(self):
        return DataLoader(self.test, batch_size=256)


class DigitClassifier(L.LightningModule):
    """Two convolutions and a linear layer."""

    def __init__(self, channels: int = 32, lr: float = 3e-3):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.BatchNorm2d(2 * channels), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.25), nn.Linear(8 * channels, 10),
        )  # fmt: skip

    def forward(self, images):
        return self.net(images)

    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = nn.functional.cross_entropy(self(images), labels)
        self.log("train_loss", loss, on_step=True, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        self.evaluate(batch, "val")

    def test_step(self, batch, batch_idx):
        self.evaluate(batch, "test")

    def evaluate(self, batch, stage):
        images, labels = batch
        logits = self(images)
        self.log(f"{stage}_loss", nn.functional.cross_entropy(logits, labels), prog_bar=True)
        self.log(f"{stage}_acc", (logits.argmax(1) == labels).float().mean(), prog_bar=True)

    def predict_step(self, batch, batch_idx):
        return self(batch[0]).argmax(1)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)
        steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=self.hparams.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def main():
    """Train, test the best checkpoint, and let it predict."""
    L.seed_everything(7)
    data, model = DigitsData(), DigitClassifier()
    checkpoint = ModelCheckpoint(monitor="val_acc", mode="max", filename="{epoch}-{val_acc:.3f}")
    trainer = L.Trainer(
        accelerator="cpu",
        strategy="single_device",
        precision="32-true",
        max_epochs=15,
        callbacks=checkpoint,
        logger="csv",
        default_root_dir="quickstart",
        log_every_n_steps=5,
    )
    trainer.plan()
    trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data, ckpt_path="best")

    best = DigitClassifier.load_from_checkpoint(checkpoint.best_model_path)
    predicted = torch.cat(trainer.predict(best, datamodule=data))
    actual = torch.stack([label for _, label in data.test])
    print("predicted ", *predicted[:20].tolist())
    print("actual    ", *actual[:20].tolist())
    print("accuracy  ", f"{(predicted == actual).float().mean():.4f} on {len(actual)} images that were not trained on")
    print("checkpoint", checkpoint.best_model_path)
    print("curves    ", plot_curves(trainer.log_dir))


def plot_curves(log_dir):
    """Draw the metrics that were written, and return the picture's path."""
    import csv
    from pathlib import Path

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with open(Path(log_dir) / "metrics.csv") as file:
        rows = list(csv.DictReader(file))

    def curve(name):
        points = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
        return list(zip(*points, strict=True))

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    left.plot(*curve("train_loss_step"), color="tab:blue", alpha=0.35, linewidth=1, label="training, per step")
    left.plot(*curve("train_loss_epoch"), color="tab:blue", label="training, per epoch")
    left.plot(*curve("val_loss"), color="tab:orange", marker="o", markersize=3, label="validation")
    left.set(title="Cross-entropy", xlabel="optimizer step", yscale="log")
    left.legend(frameon=False)
    right.plot(*curve("val_acc"), color="tab:orange", marker="o", markersize=3, label="validation")
    right.axhline(0.97, color="grey", linestyle=":", linewidth=1, label="97 %")
    right.set(title="Accuracy", xlabel="optimizer step")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    picture = Path(log_dir) / "curves.png"
    figure.savefig(picture, dpi=120)
    return picture


if __name__ == "__main__":
    main()
