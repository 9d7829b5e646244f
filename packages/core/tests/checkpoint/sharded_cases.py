"""Modules whose states are of many kinds, and short fits of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fulmen_core import LightningModule, Trainer
from fulmen_interfaces import Callback
from fulmen_strategy_single_device import SingleDeviceStrategy


class Module(LightningModule):
    """Two layers and a buffer, by AdamW and a scheduler."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.save_hyperparameters()
        torch.manual_seed(0)
        self.body = nn.Linear(3, width)
        self.head = nn.Linear(width, 1)
        self.register_buffer("count", torch.tensor(0))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        self.count += 1
        return self.loss(batch)

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        features, targets = batch
        return (self.head(torch.tanh(self.body(features))).squeeze(1) - targets).pow(2).mean()

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


class Momentum(Module):
    """A momentum that is None for a weight without gradients, and several groups."""

    def configure_optimizers(self) -> Any:
        groups = [{"params": self.head.parameters(), "lr": 0.2}, {"params": self.body.parameters()}]
        return torch.optim.SGD(groups, lr=0.1, momentum=0.9)


class WithoutState(Module):
    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Quasi(Module):
    """A state of nested lists of tensors."""

    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=2, history_size=3)


class Factored(Module):
    """States of other shapes than the weights."""

    def configure_optimizers(self) -> Any:
        return torch.optim.Adafactor(self.parameters(), lr=0.01)


class ByHand(Module):
    """Two optimizers."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # type: ignore[override]
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.Adam(self.body.parameters()), torch.optim.RMSprop(self.head.parameters())]


class ExtraState(Module):
    """A state that is no tensor, a weight of another type, and one that is stored twice."""

    def __init__(self) -> None:
        super().__init__()
        self.notes = Notes()
        self.small = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
        self.again = self.head

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        self.notes.written.append(batch_idx)
        return self.loss(batch) * self.small.float().mean()


class Notes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[int] = []

    def get_extra_state(self) -> dict[str, Any]:
        return {"written": list(self.written)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.written = list(state["written"])


MODULES = [Module, Momentum, WithoutState, Quasi, Factored, ByHand, ExtraState]


class Saves(Callback):
    """Saves once, after a step in the middle of an epoch."""

    def __init__(self, path: Path | str, batches: int) -> None:
        self.path, self.batches = path, batches

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx + 1 == self.batches:
            trainer.save_checkpoint(self.path)


def fit(
    module: Module,
    *,
    steps: int,
    kind: Any = "full",
    save: Path | str | None = None,
    load: Path | str | None = None,
    **arguments: Any,
) -> Trainer:
    """Train on that many batches of an epoch, from a checkpoint or from the start."""
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "strategy": SingleDeviceStrategy(state_dict_type=kind),
        "logger": False,
        "max_epochs": 1,
        "limit_train_batches": steps if save is None else 8,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "callbacks": [] if save is None else [Saves(save, steps)],
    }
    trainer = Trainer(**{**defaults, **arguments})
    features = torch.randn(24, 3, generator=torch.Generator().manual_seed(7))
    trainer.fit(module, DataLoader(TensorDataset(features, features.sum(1)), batch_size=3), ckpt_path=load)
    return trainer


def moments(trainer: Trainer) -> list[Any]:
    """Return the states of all optimizers."""
    return [optimizer.state_dict()["state"] for optimizer in trainer.optimizers]
