"""Who is measured beside the loops by hand: every library with Lightning's names that this interpreter has."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from workload import LEARNING_RATE, Batch, Clock

LIBRARIES = ("fulmen", "lightning")
BARE: dict[str, object] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}

Contender = Callable[[int, Clock], None]
"""Sets up from nothing and runs that many steps, each of which begins with a tick of the clock."""


class UserModule(nn.Module):
    """What a user writes. A library's LightningModule becomes its second base, see `Library.module`."""

    log: Callable[[str, Tensor], None]

    def __init__(self, clock: Clock, net: nn.Module, metrics: int = 0) -> None:
        super().__init__()
        self.net = net
        self.tick = clock.tick
        self.names = [f"metric_{i}" for i in range(metrics)]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Tick, compute the loss, log."""
        return self._loss(batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Tick, compute the loss, log."""
        self._loss(batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Tick and predict."""
        self.tick()
        return cast(Tensor, self.net(batch[0]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer of the loop by hand."""
        return torch.optim.SGD(self.parameters(), lr=LEARNING_RATE)

    def _loss(self, batch: Batch) -> Tensor:
        self.tick()
        features, labels = batch
        loss = cross_entropy(self.net(features), labels)
        for name in self.names:
            self.log(name, loss)
        return loss


class Library:
    """A library with a `Trainer` and a `LightningModule`, used as its users do."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.package: ModuleType = importlib.import_module(name)
        # Looked up now, so that a library without them is found out before anything is measured.
        self._trainer = self.package.Trainer
        self._base: type[nn.Module] = self.package.LightningModule

    def module(self, written: type[nn.Module], *arguments: object) -> nn.Module:
        """The user's class on top of this library's LightningModule, made."""
        return cast(nn.Module, type("Module", (written, self._base), {})(*arguments))

    def trainer(self, **settings: object) -> Any:
        """A Trainer of one epoch, on one CPU process where the settings name no other number."""
        return self._trainer(**{"max_epochs": 1, "accelerator": "cpu", "devices": 1, **settings})


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Send what a library prints to nowhere: it is written, but no terminal has to scroll."""
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        for name in LIBRARIES:
            logging.getLogger(name).setLevel(logging.ERROR)
            logging.getLogger(f"{name}.pytorch").setLevel(logging.ERROR)
        yield


def libraries() -> tuple[list[Library], list[str]]:
    """Those that are installed here, and for each other one a line that says why it is missing."""
    found, missing = [], []
    for name in LIBRARIES:
        try:
            found.append(Library(name))
        except (ImportError, AttributeError) as error:
            missing.append(f"{name} is left out: {error}")
    return found, missing
