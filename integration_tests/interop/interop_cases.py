"""A module, its data and its truth, for checkpoints that go from Lightning to fulmen and back.

The classes are made for either library, so that both train exactly the same.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

BATCHES = 5
"""Training batches of an epoch."""
GAMMA = 0.5
MOMENTUM = 0.9


def loader() -> DataLoader[Any]:
    """Return the training data, in a fixed order."""
    x = torch.linspace(-1, 1, BATCHES * 2 * 4).reshape(-1, 4).sin()
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True).cos()), batch_size=2)


def module_class(library: ModuleType) -> type[Any]:
    """Return the module for `lightning` or `fulmen_core`."""

    class Small(library.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self, width: int = 3, lr: float = 0.1, *, manual: bool = False) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.automatic_optimization = not manual
            self.body = nn.Linear(4, width)
            self.head = nn.Linear(width, 1)
            with torch.no_grad():
                for number, parameter in enumerate(self.parameters()):
                    parameter.copy_(
                        torch.linspace(-0.5, 0.6, parameter.numel()).reshape(parameter.shape) * (number + 1)
                    )

        def forward(self, x: torch.Tensor) -> Any:
            return self.head(self.body(x).tanh())

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = mse_loss(self(batch[0]), batch[1])
            self.log("loss", loss)
            if self.automatic_optimization:
                return loss
            for optimizer in self.optimizers():
                optimizer.zero_grad()
            self.manual_backward(loss)
            for optimizer in self.optimizers():
                optimizer.step()
            return None

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", mse_loss(self(batch[0]), batch[1]))

        def configure_optimizers(self) -> Any:
            if not self.automatic_optimization:
                return [sgd(self.body.parameters(), self.hparams.lr), sgd(self.head.parameters(), self.hparams.lr)]
            optimizer = sgd(self.parameters(), self.hparams.lr)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=GAMMA)]

    Small.__qualname__ = "Small"
    return Small


def data_class(library: ModuleType) -> type[Any]:
    """Return the data module for `lightning` or `fulmen_core`; its state counts how often it was saved."""

    class SmallData(library.LightningDataModule):  # type: ignore[name-defined,misc]
        def __init__(self, folds: int = 1) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.note = "fresh"

        def train_dataloader(self) -> Any:
            return loader()

        def val_dataloader(self) -> Any:
            return loader()

        def state_dict(self) -> dict[str, Any]:
            return {"note": self.note}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self.note = state_dict["note"]

    SmallData.__qualname__ = "SmallData"
    return SmallData


def sgd(parameters: Any, lr: float) -> torch.optim.SGD:
    """Return the optimizer."""
    return torch.optim.SGD(parameters, lr=lr, momentum=MOMENTUM)


def train_by_hand(module: nn.Module, *, epochs: int, decay: bool = True) -> list[torch.Tensor]:
    """Train with torch alone for whole epochs, and return the weights."""
    optimizer = sgd(module.parameters(), 0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=GAMMA if decay else 1.0)
    for _ in range(epochs):
        for x, y in loader():
            optimizer.zero_grad()
            mse_loss(module(x), y).backward()
            optimizer.step()
        schedule.step()
    return [parameter.detach().clone() for parameter in module.parameters()]
