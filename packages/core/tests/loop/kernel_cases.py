"""What the tests of the kernel share: a module with one layer, its data, and a Trainer that does nothing beside."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

from fulmen_core import LightningModule, Trainer


def pairs(samples: int, *, seed: int = 1) -> TensorDataset:
    """Return inputs of four numbers, and one number as target for each."""
    generator = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.randn(samples, 4, generator=generator), torch.randn(samples, 1, generator=generator))


def loader(batches: int = 3, *, size: int = 2, last: int | None = None, **options: Any) -> DataLoader[Any]:
    """Return a loader of so many batches; `last` is the size of the last."""
    samples = batches * size if last is None else (batches - 1) * size + last
    return DataLoader(pairs(samples), batch_size=size, **options)


class Unsized:
    """The batches of a loader, without saying how many there are."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


class Line(LightningModule):
    """One linear layer, trained by SGD on the mean squared error."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 1)
        self.lr = lr

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        return mse_loss(self(x), y)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Deep(Line):
    """Three layers with batch norm and dropout: the result depends on random numbers and on buffers."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__(lr)
        self.layer = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))


def trainer(**arguments: Any) -> Trainer:
    """Return a Trainer for one epoch on the CPU, without loggers, files and output."""
    quiet = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(**{**quiet, **arguments})


def weights(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a module's parameters and buffers."""
    return copy.deepcopy(dict(module.state_dict()))


def differences(one: nn.Module, other: nn.Module) -> list[str]:
    """Return the names of parameters and buffers that differ in a single bit."""
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    return [name for name, value in first.items() if not torch.equal(value, second[name])]


def twins(kind: type[Line] = Line, **arguments: Any) -> tuple[Line, Line]:
    """Return two modules with the same weights."""
    torch.manual_seed(0)
    module = kind(**arguments)
    return module, copy.deepcopy(module)


def rounded(values: dict[str, Any]) -> dict[str, float]:
    """Return values as numbers that can be compared with what is written down; NaN as text, for it equals nothing."""
    return {key: "nan" if math.isnan(float(one)) else round(float(one), 5) for key, one in values.items()}
