"""What the tests of the tuner share: a module whose training depends on every kind of random numbers, and its data."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

from fulmen_core import LightningDataModule, LightningModule, Trainer, seed_everything
from fulmen_tuner import Tuner


def pairs(samples: int = 32) -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(samples, 4, generator=generator)
    return TensorDataset(x, x.sum(1, keepdim=True))


def loader(samples: int = 32, size: int = 4, **options: Any) -> DataLoader[Any]:
    return DataLoader(pairs(samples), batch_size=size, **options)


class Net(LightningModule):
    """Dropout, batch norm, noise from Python and NumPy, a frozen part in evaluation mode, and a counter."""

    def __init__(self, lr: float = 0.01, batch_size: int = 4) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.lr = lr
        self.batch_size = batch_size
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.frozen = nn.BatchNorm1d(4, affine=False).eval()
        self.seen: list[int] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        self.seen.append(len(x))
        noise = random.random() + np.random.rand()
        loss = mse_loss(self.net(self.frozen(x)), y) * (1 + 0.01 * noise)
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


class Data(LightningDataModule):
    """Splits at random, once, and shuffles with a generator of its own."""

    def __init__(self, batch_size: int = 4, samples: int = 40) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.batch_size = batch_size
        self.data = pairs(samples)
        self.train: Dataset[Any] | None = None
        self.generator = torch.Generator().manual_seed(7)

    def setup(self, stage: str) -> None:
        if self.train is None:
            self.train, _ = random_split(self.data, [0.8, 0.2])

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.train, batch_size=self.batch_size, shuffle=True, generator=self.generator)


class Line(Net):
    """Nothing random: a hand-written loop is easily compared with."""

    def __init__(self, lr=0.1):
        super().__init__(lr)
        self.net = nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return mse_loss(self.net(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.net.parameters(), lr=self.lr)


def find(model, data=None, *, arguments=None, **options):
    given = {"datamodule": data} if isinstance(data, Data) else {"train_dataloaders": data or loader()}
    return Tuner(trainer(**(arguments or {}))).lr_find(model, **given, **options)


LOG: list[int] = []
"""The sizes of all batches that reached a step; a copy of a module has no other way to tell."""


def out_of_memory():
    return torch.OutOfMemoryError("There is no room.")


class Limited(Net):
    """Runs out of memory above a size."""

    error = staticmethod(out_of_memory)

    def __init__(self, limit=20, **options):
        super().__init__(**options)
        self.limit = limit
        self.net = nn.Linear(4, 1)  # which takes single samples, too

    def step(self, batch):
        LOG.append(len(batch[0]))
        if len(batch[0]) > self.limit:
            raise self.error()

    def training_step(self, batch, batch_idx):
        self.step(batch)
        return super().training_step(batch, batch_idx)

    def train_dataloader(self):
        return loader(self.samples, self.batch_size, shuffle=True)

    samples = 200


class Loaded(Limited):
    """With a step and data for every stage."""

    def validation_step(self, batch, batch_idx):
        self.step(batch)

    test_step = predict_step = validation_step

    def val_dataloader(self):
        return loader(self.samples, self.batch_size)

    test_dataloader = predict_dataloader = val_dataloader


def trainer(**arguments: Any) -> Trainer:
    quiet = {
        "accelerator": "cpu",
        "max_epochs": 2,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(**{**quiet, **arguments})


def seeded(kind: type[Net] = Net, **options: Any) -> Net:
    seed_everything(3, verbose=False)
    return kind(**options)


def same_state(one: LightningModule, other: LightningModule) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return (
        a.keys() == b.keys()
        and all(one.isfinite().all() for one in a.values())
        and all(torch.equal(a[name], b[name]) for name in a)
    )
