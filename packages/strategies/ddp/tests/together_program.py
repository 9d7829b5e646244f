"""Runs in which two ranks are not alike, and yet train together: `together_program.py FOLDER`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from ddp_program import Regression, made, trainer, weights
from torch import Tensor, nn
from torch.distributed import TCPStore
from torch.utils.data import DataLoader, IterableDataset
from torchmetrics import MeanMetric

from fulmen_core import LightningModule
from fulmen_testing import FakeLogger

RANK = int(os.environ.get("RANK", "0"))
ASKS = RANK == 1 or not hasattr(TCPStore, "clone")
"""Whether this rank asks for an end. One alone may with torch 2.8 or newer."""


class Stream(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """As many samples as it is told; it does not tell."""

    def __init__(self, rank: int, count: int) -> None:
        generator = torch.Generator().manual_seed(50 + rank)
        self.features = torch.randn(count, 3, generator=generator)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for number, features in enumerate(self.features):
            yield torch.tensor(number), features, features.sum()


class Uneven(Regression):
    """Logs what a rank that repeats its last batch must not count, and may save in the middle."""

    save_at: int | None = None
    save_to: Path | None = None

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.2)
        self.metric = MeanMetric()
        self.validated: list[int] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        numbers, features, targets = batch
        self.seen.append(numbers.tolist())
        self.log("number", numbers.double().mean(), on_epoch=True, on_step=False, sync_dist=True)
        self.metric.update(numbers)
        self.log("metric", self.metric, on_epoch=True, on_step=False)
        return (self.head(torch.tanh(self.body(features))).squeeze(1) - targets).pow(2).mean()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.save_to is not None and self.trainer.global_step == self.save_at:
            self.trainer.save_checkpoint(self.save_to)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            self.validated.append(self.trainer.global_step)


COUNTS = (4, 6)
"""Batches of each rank."""


def stream(counts: tuple[int, int] = COUNTS) -> DataLoader[Any]:
    return DataLoader(Stream(RANK, 2 * counts[RANK]), batch_size=2)


def uneven(folder: Path, policy: str) -> dict[str, Any]:
    """Train on streams of different lengths, whole and from a checkpoint of the middle."""
    options: dict[str, Any] = {
        "uneven_batches": policy,
        "accumulate_grad_batches": 2,
        "max_epochs": 2,
        "val_check_interval": 2,
        "num_sanity_val_steps": 0,
    }
    watched = DataLoader(torch.zeros(2), batch_size=1)
    whole, rest = made(Uneven), made(Uneven)
    whole.save_at, whole.save_to = (3 if policy == "zero_weight" else 2), folder / f"{policy}.ckpt"
    run = trainer(**options)
    run.fit(whole, stream(), watched)
    torch.manual_seed(99)
    again = trainer(**options)
    again.fit(rest, stream(), watched, ckpt_path=whole.save_to)
    return {
        "weights": weights(whole),
        "rest": weights(rest),
        "seen": whole.seen,
        "steps": run.global_step,
        "validated": whole.validated,
        "metrics": {name: run.callback_metrics[name].item() for name in ("number", "metric")},
        "metrics_of_rest": {name: again.callback_metrics[name].item() for name in ("number", "metric")},
    }


def without_data() -> dict[str, Any]:
    module = made(Uneven)
    trainer(uneven_batches="zero_weight", max_epochs=1).fit(module, stream((0, 3)))
    return {"weights": weights(module), "seen": len(module.seen)}


class Stopping(Regression):
    """Asks for things on rank one only, where it can."""

    where = ""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.where == "step" and ASKS and self.trainer.global_step == 3:
            self.trainer.should_stop = True
        return super().training_step(batch, batch_idx)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        return -1 if self.where == "skip" and RANK == 1 and batch_idx == 2 else None

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.where == "everywhere" and self.trainer.global_step == 3:
            self.trainer.should_stop = True
        if self.where == "clock" and RANK == 1:
            time.sleep(0.02)

    def on_train_epoch_end(self) -> None:
        if self.where == "epoch" and ASKS and self.trainer.current_epoch == 1:
            self.trainer.should_stop = True

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.seen.append([self.trainer.global_step])


def stopping(where: str, **options: Any) -> dict[str, Any]:
    module = made(Stopping)
    module.where = where
    run = trainer(**{"max_epochs": 4, **options})
    run.fit(module, DataLoader(list(Stream(0, 40)), batch_size=2))
    return {"steps": run.global_step, "epochs": run.current_epoch, "weights": weights(module)}


def by_the_clock() -> list[list[int]]:
    module = made(Stopping)
    module.where = "clock"
    options = {"val_check_interval": timedelta(seconds=0.05), "check_val_every_n_epoch": None}
    run = trainer(max_epochs=1, num_sanity_val_steps=0, **options)
    run.fit(module, DataLoader(list(Stream(0, 40)), batch_size=2), DataLoader(torch.zeros(2), batch_size=1))
    return [one for one in module.seen if len(one) == 1]


class Talkative(LightningModule):
    """Logs different things on different ranks."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.metric = MeanMetric()

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.log("both", float(RANK), on_step=True, on_epoch=True, sync_dist=True)
        if RANK == 0:
            self.log("zero", 5.0, on_step=True, on_epoch=True, sync_dist=True)
        elif batch_idx % 2:
            self.log("one", 7.0, on_step=True, on_epoch=True, sync_dist=True)
        return self.layer(batch).mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.metric.update(batch)
        self.log("metric", self.metric)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def talking() -> dict[str, Any]:
    logger = FakeLogger()
    run = trainer(max_epochs=2, log_every_n_steps=1, logger=logger)
    run.fit(Talkative(), DataLoader(torch.ones(8, 1)), DataLoader(torch.tensor([3.0])))  # one rank validates nothing
    return {
        "metrics": {name: value.item() for name, value in run.callback_metrics.items()},
        "logged": sorted({key for _, values in logger.metrics for key in values}),
    }


CASES: dict[str, Callable[[Path], Any]] = {
    "stop": lambda folder: uneven(folder, "stop"),
    "zero_weight": lambda folder: uneven(folder, "zero_weight"),
    "without_data": lambda folder: without_data(),
    "stop_in_step": lambda folder: stopping("step"),
    "stop_everywhere": lambda folder: stopping("everywhere"),
    "stop_at_epoch_end": lambda folder: stopping("epoch"),
    "skip": lambda folder: stopping("skip", max_epochs=2),
    "clock": lambda folder: by_the_clock(),
    "talking": lambda folder: talking(),
}


def main(folder: Path, *names: str) -> None:
    found = {name: case(folder) for name, case in CASES.items() if not names or name in names}
    (folder / f"rank{RANK}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
