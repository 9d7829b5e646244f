"""Who is measured: a hand-written loop, and every library with Lightning's names that this interpreter has."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from types import ModuleType
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from workload import Batch, Clock, loader, network

LIBRARIES = ("fulmen", "lightning")
BARE: dict[str, object] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}
LEARNING_RATE = 1e-3


class Mode(Enum):
    """Which of the three kinds of steps a case takes."""

    TRAIN = auto()
    VALIDATE = auto()
    PREDICT = auto()


@dataclass(frozen=True)
class StepCase:
    """One row of the table: what the step does, and how much of the raw step it may cost."""

    name: str
    what: str
    mode: Mode
    limit: float
    metrics: int = 0
    """How many values each step logs. The raw loop logs none: what logging costs is part of the answer."""
    bare: bool = True
    """Whether everything that a Trainer can leave out is left out."""


class Contender(Protocol):
    """Something that can run the steps of a case."""

    @property
    def name(self) -> str:
        """What the table calls it."""

    def run(self, case: StepCase, steps: int) -> Clock:
        """Set up from nothing, run that many steps, and return when each began."""


@dataclass(frozen=True)
class Raw:
    """The loop one would write by hand."""

    name: str = "raw"

    def run(self, case: StepCase, steps: int) -> Clock:
        """Run the steps with no framework at all."""
        clock, net, batches = Clock(steps), network(), loader(steps)
        if case.mode is Mode.TRAIN:
            optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE)
            for features, labels in batches:
                clock.tick()
                optimizer.zero_grad()
                loss = cross_entropy(net(features), labels)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            return clock
        net.eval()
        predictions = []
        with torch.inference_mode():
            for features, labels in batches:
                clock.tick()
                if case.mode is Mode.VALIDATE:
                    cross_entropy(net(features), labels)
                else:
                    predictions.append(net(features))
        return clock


class UserModule(nn.Module):
    """What a user writes. A library's LightningModule becomes its second base, see `Library.module`."""

    log: Callable[[str, Tensor], None]

    def __init__(self, clock: Clock, metrics: int) -> None:
        super().__init__()
        self.net = network()
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
        """The optimizer of the raw loop."""
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

    def run(self, case: StepCase, steps: int) -> Clock:
        """Run the steps in a fresh Trainer."""
        clock = Clock(steps)
        module = self.module(UserModule, clock, case.metrics)
        with silence(), tempfile.TemporaryDirectory() as folder:
            trainer = self.trainer(default_root_dir=folder, **(BARE if case.bare else {}))
            if case.mode is Mode.TRAIN:
                trainer.fit(module, loader(steps))
            elif case.mode is Mode.VALIDATE:
                trainer.validate(module, loader(steps), verbose=False)
            else:
                trainer.predict(module, loader(steps))
        return clock

    def module(self, written: type[nn.Module], *arguments: object) -> nn.Module:
        """The user's class on top of this library's LightningModule, made."""
        return cast(nn.Module, type("Module", (written, self._base), {})(*arguments))

    def trainer(self, **settings: object) -> Any:
        """A Trainer of one epoch on one CPU process."""
        return self._trainer(max_epochs=1, accelerator="cpu", devices=1, **settings)


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
