"""A module and data that can be configured in every respect that matters to resuming."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, Dataset

import fulmen_core as L

try:
    import torchmetrics
except ImportError:  # accepted, not required: without it the cases leave metrics out
    torchmetrics = None  # type: ignore[assignment]

SAMPLES = 22


@dataclass(frozen=True)
class Case:
    """One configuration."""

    name: str = ""
    optimizer: str = "adam"
    """adam, momentum, lbfgs, manual (two), automatic_two"""
    scheduler: str = "none"
    """none, step, epoch, one_cycle, plateau_step, plateau_epoch"""
    accumulate: int = 1
    shuffle: bool = True
    workers: int = 0
    augment: str = "none"
    """Where each sample's random change comes from: none, torch, numpy, python"""
    dropout: bool = True
    batch_norm: bool = False
    metrics: bool = False
    val_check_interval: float | int = 1.0
    log_every_n_steps: int = 2
    unsized: bool = False
    """Whether the training data does not tell its length."""
    limit: float | int = 1.0
    max_epochs: int = 2
    random_validation: bool = False
    """Whether validation draws random numbers, too."""

    def trainer_arguments(self) -> dict[str, Any]:
        """Return what the Trainer is made with."""
        clip = {} if self.optimizer == "manual" else {"gradient_clip_val": 0.5}
        return {
            "max_epochs": self.max_epochs,
            "accumulate_grad_batches": self.accumulate,
            "val_check_interval": self.val_check_interval,
            "log_every_n_steps": self.log_every_n_steps,
            "limit_train_batches": self.limit,
            "enable_checkpointing": False,
            **clip,
        }

    def make_module(self) -> Net:
        return Net(self)

    def make_data(self) -> tuple[Any, Any]:
        train: Any = DataLoader(
            Rows(SAMPLES, self.augment, seed=1), batch_size=4, shuffle=self.shuffle, num_workers=self.workers
        )
        validation = DataLoader(Rows(9, "none", seed=2), batch_size=4)
        return (Unsized(train) if self.unsized else train), validation


class Rows(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Rows of numbers, each changed at random whenever it is read."""

    def __init__(self, length: int, augment: str, *, seed: int) -> None:
        self.x = torch.randn(length, 4, generator=torch.Generator().manual_seed(seed))
        self.augment = augment

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.x[index] + self._noise()
        return x, x.sum().sin()[None]

    def _noise(self) -> torch.Tensor | float:
        if self.augment == "torch":
            return torch.randn(4) / 8
        if self.augment == "numpy":
            return float(np.random.normal()) / 8
        return random.gauss(0, 1) / 8 if self.augment == "python" else 0.0


class Unsized:
    """A loader that does not tell its length."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __iter__(self) -> Any:
        return iter(self.loader)


class Net(L.LightningModule):
    """A small network; the case says how it is trained."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case
        self.automatic_optimization = case.optimizer != "manual"
        self.body = nn.Sequential(
            nn.Linear(4, 6),
            nn.BatchNorm1d(6) if case.batch_norm else nn.Identity(),
            nn.Tanh(),
            nn.Dropout(0.2 if case.dropout else 0.0),
        )
        self.head = nn.Linear(6, 1)
        if case.metrics:
            self.train_error = torchmetrics.MeanSquaredError()
            self.errors = torchmetrics.MetricCollection(
                {
                    "mae": torchmetrics.MeanAbsoluteError(),
                    "mean": torchmetrics.MeanMetric(),
                    "top": torchmetrics.MaxMetric(),
                }
            )
            self.by_hand = torchmetrics.CatMetric()
            self.val_error = torchmetrics.MeanSquaredError()

    def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int = 0) -> torch.Tensor | None:
        loss = self._loss(batch)
        self.log("loss", loss, on_step=True, on_epoch=True, prog_bar=True)
        self.log("worst_loss", loss, reduce_fx="max", on_step=False, on_epoch=True)
        self.log("middle_loss", loss, reduce_fx=torch.median, on_step=False, on_epoch=True)
        if self.case.metrics:
            self._measure(batch)
        if not self.automatic_optimization:
            self._step_by_hand(batch, loss, batch_idx)
            return None
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("epochs", float(self.current_epoch))
        if self.case.metrics:
            self.log("by_hand", self.by_hand.compute().sum())
            self.by_hand.reset()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        if self.case.random_validation:
            x = x + torch.randn_like(x) / 8
        error = mse_loss(self(x), y)
        self.log("val_loss", error)
        self.log("val_step", error, on_step=True, on_epoch=False)
        if self.case.metrics:
            self.val_error(self(x), y)
            self.log("val_error", self.val_error)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.body(x))
        return out

    def configure_optimizers(self) -> Any:
        case = self.case
        if case.optimizer in ("manual", "automatic_two"):
            return [
                torch.optim.Adam(self.body.parameters(), lr=0.01),
                torch.optim.SGD(self.head.parameters(), lr=0.01, momentum=0.9),
            ]
        optimizer: torch.optim.Optimizer
        if case.optimizer == "lbfgs":
            optimizer = torch.optim.LBFGS(self.parameters(), lr=0.05, max_iter=2)
        elif case.optimizer == "momentum":
            optimizer = torch.optim.SGD(self.parameters(), lr=0.02, momentum=0.9, nesterov=True)
        else:
            optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        schedule = _schedule(case.scheduler, optimizer)
        return optimizer if schedule is None else {"optimizer": optimizer, "lr_scheduler": schedule}

    def _loss(self, batch: Any) -> torch.Tensor:
        x, y = batch
        return mse_loss(self(x), y)

    def _measure(self, batch: Any) -> None:
        x, y = batch
        with torch.no_grad():
            out = self(x)
        self.train_error(out, y)
        self.log("train_error", self.train_error, on_step=True, on_epoch=True)
        self.errors["mae"](out, y)
        self.errors["mean"](out)
        self.errors["top"](out)
        for name in ("mae", "mean", "top"):
            self.log(f"errors_{name}", self.errors[name], on_step=False, on_epoch=True)
        self.by_hand.update(out.flatten())

    def _step_by_hand(self, batch: Any, loss: torch.Tensor, batch_idx: int) -> None:
        """Step the first optimizer every third batch, over gradients that were added up; the second always."""
        first, second = self.optimizers()
        second.zero_grad()
        self.manual_backward(loss)
        second.step()
        if batch_idx % 3 == 2:
            first.step()
            first.zero_grad()


def _schedule(name: str, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    lr = torch.optim.lr_scheduler
    if name == "none":
        return None
    if name == "step":
        return {"scheduler": lr.StepLR(optimizer, 1, gamma=0.9), "interval": "step", "frequency": 2}
    if name == "one_cycle":
        return {"scheduler": lr.OneCycleLR(optimizer, max_lr=0.05, total_steps=40), "interval": "step"}
    if name == "epoch":
        return {"scheduler": lr.CosineAnnealingLR(optimizer, T_max=5)}
    if name == "plateau_step":
        scheduler = lr.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.2)
        return {"scheduler": scheduler, "interval": "step", "frequency": 2, "monitor": "loss"}
    return {"scheduler": lr.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.5), "monitor": "val_loss"}


def random_case(seed: int) -> Case:
    """Return a configuration that the seed stands for."""
    draw = random.Random(seed)
    optimizer = draw.choice(["adam", "adam", "momentum", "momentum", "lbfgs", "manual", "automatic_two"])
    scheduled = optimizer in ("adam", "momentum")
    unsized = draw.random() < 0.25
    interval = draw.choice([1.0, 2, 3] if unsized else [1.0, 0.5, 2, 3])
    return Case(
        name=f"random {seed}",
        optimizer=optimizer,
        scheduler=draw.choice(["none", "step", "epoch", "one_cycle", "plateau_step", "plateau_epoch"])
        if scheduled
        else "none",
        accumulate=1 if optimizer == "manual" else draw.randint(1, 4),
        shuffle=draw.random() < 0.7,
        augment=draw.choice(["none", "torch", "numpy", "python"]),
        dropout=draw.random() < 0.7,
        batch_norm=draw.random() < 0.3,
        metrics=draw.random() < 0.5 and torchmetrics is not None,
        val_check_interval=interval,
        log_every_n_steps=draw.randint(1, 3),
        unsized=unsized,
        limit=draw.choice([1.0, 1.0, 4]),
        random_validation=draw.random() < 0.4,
    )
