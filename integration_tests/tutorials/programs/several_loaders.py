"""Several loaders: a list for validation, a dict and combinations for training."""

from types import SimpleNamespace

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L
from fulmen.callbacks import EarlyStopping, ModelCheckpoint
from fulmen.loggers import CSVLogger
from fulmen.utilities import CombinedLoader


def numbers(start, count, batch_size):
    x = torch.arange(start, start + count, dtype=torch.float32).unsqueeze(1) / 100
    return DataLoader(TensorDataset(x, 2 * x), batch_size=batch_size)


class LitSeveral(L.LightningModule):
    """Fits a line; keeps what it was given, so that one can look."""

    def __init__(self, loaders=None):
        super().__init__()
        self.line = nn.Linear(1, 1)
        self.loaders = loaders
        self.seen = []
        self.predict_calls = []

    def loss(self, batch):
        x, y = batch
        return nn.functional.mse_loss(self.line(x), y)

    def training_step(self, batch, batch_idx):
        if isinstance(batch, dict):
            parts = {name: part for name, part in batch.items() if part is not None}
        elif isinstance(batch[0], torch.Tensor):
            parts = {"only": batch}
        else:
            parts = {str(at): part for at, part in enumerate(batch) if part is not None}
        self.seen.append({name: part[0][:, 0].mul(100).round().int().tolist() for name, part in parts.items()})
        loss = sum(self.loss(part) for part in parts.values())
        self.log("train_loss", loss, batch_size=sum(len(part[0]) for part in parts.values()), on_epoch=True)
        return loss

    def train_dataloader(self):
        return self.loaders

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        loss = self.loss(batch)
        self.log("val_loss", loss)
        name = ("near", "far")[dataloader_idx]
        self.log(f"{name}_loss", loss, add_dataloader_idx=False)
        self.log("both", loss, on_step=True, on_epoch=True)

    def on_validation_epoch_end(self):
        self.log("checks", 1.0)

    def test_step(self, batch, batch_idx, dataloader_idx):
        self.log("test_loss", self.loss(batch))

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        self.predict_calls.append((batch_idx, dataloader_idx))
        return self.line(batch[0])

    def val_dataloader(self):
        return [numbers(0, 6, 4), numbers(50, 4, 4)]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.2)


def trainer(**arguments):
    return L.Trainer(
        accelerator="cpu",
        max_epochs=2,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        **arguments,
    )


def evaluation():
    """Two validation loaders; one of their metrics is watched by its full name."""
    L.seed_everything(0)
    model = LitSeveral(numbers(0, 12, 4))
    checkpoint = ModelCheckpoint(monitor="val_loss/dataloader_idx_1", filename="{epoch}")
    stop = EarlyStopping(monitor="far_loss", patience=1)
    run = trainer(logger=CSVLogger("logs", name="several"), callbacks=[checkpoint, stop])
    run.fit(model)
    metrics = dict(run.callback_metrics)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    validated = run.validate(model, verbose=False)
    tested = run.test(model, dataloaders={"near": numbers(0, 6, 4), "far": numbers(50, 4, 4)}, verbose=False)
    predicted = run.predict(model, dataloaders=[numbers(0, 6, 4), numbers(50, 4, 4)])
    return SimpleNamespace(
        model=model,
        trainer=run,
        metrics=metrics,
        weights=weights,
        validated=validated,
        tested=tested,
        predicted=[torch.cat(one) for one in predicted],
        calls=model.predict_calls,
        score=checkpoint.best_model_score.item(),
    )


def train_on(loaders):
    L.seed_everything(0)
    model = LitSeveral(loaders)
    run = trainer(logger=False, enable_checkpointing=False, num_sanity_val_steps=0)
    run.fit(model)
    return SimpleNamespace(
        model=model,
        trainer=run,
        seen=model.seen,
        weights=model.state_dict(),
        batches=run.num_training_batches,
        metrics=dict(run.callback_metrics),
    )


def by_name():
    return train_on({"a": numbers(0, 6, 2), "b": numbers(50, 4, 2)})


def as_list():
    return train_on([numbers(0, 6, 2), numbers(50, 4, 2)])


def min_size():
    return train_on(CombinedLoader({"a": numbers(0, 6, 2), "b": numbers(50, 4, 2)}, mode="min_size"))


def max_size():
    return train_on(CombinedLoader({"a": numbers(0, 6, 2), "b": numbers(50, 4, 2)}, mode="max_size"))


def max_size_cycle():
    return train_on(CombinedLoader([numbers(0, 6, 2), numbers(50, 4, 2)], mode="max_size_cycle"))


def sequential():
    return train_on(CombinedLoader([numbers(0, 6, 2), numbers(50, 4, 2)], mode="sequential"))


if __name__ == "__main__":
    evaluation()
