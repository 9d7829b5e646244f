"""A module and data, and a plain loop beside them on the host."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L

QUIET: dict[str, Any] = {
    "accelerator": "sim",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Classifier(L.LightningModule):
    """Small, with batch statistics and, where asked for, dropout. `seen` holds the losses of all steps."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 2)
        )
        self.seen: list[torch.Tensor] = []

    def loss(self, batch: Any) -> torch.Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self.layers(x), y)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = self.loss(batch)
        self.seen.append(loss.detach())
        self.log("loss", loss, on_step=True, on_epoch=True)
        self.log("worst", loss, on_step=False, on_epoch=True, reduce_fx="max")
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val", self.loss(batch))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test", self.loss(batch))

    def predict_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.layers(batch[0]).argmax(1)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)}


def samples(count: int = 48) -> TensorDataset:
    x = torch.randn(count, 8, generator=torch.Generator().manual_seed(1))
    return TensorDataset(x, (x.sum(1) > 0).long())


def loader(count: int = 48, **options: Any) -> DataLoader[Any]:
    return DataLoader(samples(count), batch_size=8, **options)


def plain_loop(module: Classifier, data: Any, epochs: int) -> Classifier:
    """Train on the host as the Trainer does it on the device."""
    configured = module.configure_optimizers()
    for _ in range(epochs):
        for batch in data:
            configured["optimizer"].zero_grad()
            module.loss(batch).backward()
            configured["optimizer"].step()
        configured["lr_scheduler"].step()
    return module


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.cpu() for name, value in module.state_dict().items()}


def assert_same(one: nn.Module, other: nn.Module) -> None:
    """Compare all weights and buffers bit for bit."""
    first, second = weights(one), weights(other)
    assert list(first) == list(second)
    assert [name for name, value in first.items() if not torch.equal(value, second[name])] == []
