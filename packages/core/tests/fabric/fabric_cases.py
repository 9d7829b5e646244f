"""What the tests of Fabric share: a small model, its data, and hand-written loops."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fulmen_core import Fabric, LightningModule


class Net(LightningModule):
    """Two layers; a step returns the mean squared error."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Linear(3, 8)
        self.head = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(x)))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return nn.functional.mse_loss(self(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return sgd(self)


def sgd(module: nn.Module, **options: Any) -> torch.optim.SGD:
    return torch.optim.SGD(module.parameters(), **{"lr": 0.1, "momentum": 0.9, **options})


def samples(count: int = 12, seed: int = 1) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 3, generator=generator)
    return TensorDataset(features, features.sum(1, keepdim=True))


def loader(count: int = 12, size: int = 2, **options: Any) -> DataLoader[Any]:
    return DataLoader(samples(count), batch_size=size, **options)


def cpu(**arguments: Any) -> Fabric:
    return Fabric(**{"accelerator": "cpu", "devices": 1, **arguments})


def twins(kind: type[Net] = Net) -> tuple[Net, Net]:
    first = kind()
    return first, copy.deepcopy(first)


def differences(one: nn.Module, other: nn.Module) -> list[str]:
    """Return the names of weights that are not equal bit for bit."""
    theirs = dict(other.state_dict())
    mine = dict(one.state_dict())
    assert mine.keys() == theirs.keys()
    return [name for name, value in mine.items() if not torch.equal(value, theirs[name])]


def train(
    fabric: Fabric, module: nn.Module, *, epochs: int = 2, accumulate: int = 1, clip: float | None = None
) -> None:
    """A loop as users write it; windows are averaged over `accumulate` batches, which must fit."""
    model, optimizer = fabric.setup(module, sgd(module))
    data = fabric.setup_dataloaders(loader())
    for _ in range(epochs):
        for index, batch in enumerate(data):
            ends = (index + 1) % accumulate == 0
            with fabric.no_backward_sync(model, enabled=not ends):
                loss = model.training_step(batch, index)
                fabric.backward(loss / accumulate if accumulate > 1 else loss)
            if ends:
                if clip is not None:
                    fabric.clip_gradients(model, optimizer, max_norm=clip)
                optimizer.step()
                optimizer.zero_grad()
