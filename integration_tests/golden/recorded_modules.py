"""Modules and data of the recorded runs, and the way to note what is called of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L


def loader(batches: int) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(batches * 2, 4, generator=generator), torch.randn(batches * 2, 1, generator=generator)
    return DataLoader(TensorDataset(x, y), batch_size=2)


class Module(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def loss(self, batch: Any) -> torch.Tensor:
        return mse_loss(self.layer(batch[0]), batch[1])

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch[0])

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.01)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    def train_dataloader(self) -> Any:
        return loader(3)

    def val_dataloader(self) -> Any:
        return loader(2)

    def test_dataloader(self) -> Any:
        return loader(2)

    def predict_dataloader(self) -> Any:
        return loader(2)


class LogsValidation(Module):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", 1.0 + self.current_epoch)  # the first epoch is the best, so that it alone is saved


class RaisesAtBatch1(Module):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 1:
            raise RuntimeError("boom")
        return self.loss(batch)


class InterruptedAtBatch0(Module):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        raise KeyboardInterrupt


class StopsAtBatch0(Module):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.trainer.should_stop = True
        return self.loss(batch)


class NoneAtBatch1(Module):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return None if batch_idx == 1 else self.loss(batch)


class SkipsAtBatch0(Module):
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        return -1


class SkipsAtBatch1(Module):
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        return -1 if batch_idx == 1 else None


class ManualTwoOptimizers(Module):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(4, 1)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for optimizer, layer in zip(self.optimizers(), (self.layer, self.other), strict=True):
            optimizer.zero_grad()
            self.manual_backward(mse_loss(layer(batch[0]), batch[1]))
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(layer.parameters(), lr=0.01) for layer in (self.layer, self.other)]


class SchedulerByStep(Module):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.01)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class PlateauScheduler(LogsValidation):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.01)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}


class Lbfgs(Module):
    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), max_iter=2)


class TwoLoaders(Module):
    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        return self.loss(batch)


class Data(L.LightningDataModule):
    def train_dataloader(self) -> Any:
        return loader(3)

    def val_dataloader(self) -> Any:
        return loader(2)

    def test_dataloader(self) -> Any:
        return loader(2)

    def predict_dataloader(self) -> Any:
        return loader(2)


class TwoLoadersData(Data):
    def val_dataloader(self) -> Any:
        return [loader(2), loader(1)]


MODULES: dict[str, type[Module]] = {
    kind.__name__: kind
    for kind in (
        *[Module, LogsValidation, RaisesAtBatch1, InterruptedAtBatch0, StopsAtBatch0, NoneAtBatch1, SkipsAtBatch0],
        *[SkipsAtBatch1, ManualTwoOptimizers, SchedulerByStep, PlateauScheduler, Lbfgs, TwoLoaders],
    )
}


def recording(kind: type, letter: str, names: Iterable[str], calls: list[str]) -> Any:
    """Return the class with all those methods overridden, each of which notes its call and does what it did."""

    def noting(name: str) -> Any:
        inherited = getattr(kind, name)

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            stage = next((str(one) for one in args if isinstance(one, str)), None) or kwargs.get("stage")
            calls.append(f"{letter}.{name}({stage})" if name in ("setup", "teardown") else f"{letter}.{name}")
            return inherited(self, *args, **kwargs)

        method.__signature__ = inspect.signature(inherited)  # type: ignore[attr-defined]
        return method

    return type(kind.__name__, (kind,), {name: noting(name) for name in names})
