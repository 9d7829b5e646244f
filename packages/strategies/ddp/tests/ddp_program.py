"""A program of several runs on two processes, which writes what each rank saw: `ddp_program.py FOLDER`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.utils.data import DataLoader, TensorDataset

from fulmen_core import LightningModule, Trainer
from fulmen_strategy_ddp import DDPStrategy
from fulmen_testing import FakeLogger


class Regression(LightningModule):
    """Samples are (number, features, target); every step notes the numbers that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.head = nn.Linear(4, 1)
        self.seen: list[list[int]] = []

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        numbers, features, targets = batch
        self.seen.append(numbers.tolist())
        return (self.head(torch.tanh(self.body(features))).squeeze(1) - targets).pow(2).mean()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.seen.append(batch[0].tolist())
        self.log("mean", batch[0].double().mean(), sync_dist=True)
        self.log("least", batch[0].double().min(), sync_dist=True, reduce_fx="min")
        self.log("own", float(batch[0][0]), on_step=True, on_epoch=True)

    def predict_step(self, batch: Any, batch_idx: int) -> list[int]:
        numbers: list[int] = batch[0].tolist()
        return numbers

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


class Quiet(Regression):
    """Notes training only, and may save in the middle."""

    save_to: Path | None = None

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.save_to is not None and self.trainer.global_step == 5:
            self.trainer.save_checkpoint(self.save_to)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("mean", batch[0].double().mean(), sync_dist=True)


class ByHand(Regression):
    """The same, optimised by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        optimizer = self.optimizers()
        loss = self.loss(batch)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()


class TwoHeads(Regression):
    """Uses one of two heads in each step."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(4, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        head = self.head if batch_idx % 2 else self.other
        return (head(torch.tanh(self.body(batch[1]))).squeeze(1) - batch[2]).pow(2).mean()


def samples(count: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(7)
    features = torch.randn(count, 3, generator=generator)
    return TensorDataset(torch.arange(count), features, features.sum(1))


def made(kind: type[Regression]) -> Regression:
    """Return the model with known weights on rank zero, and others elsewhere."""
    torch.manual_seed(int(os.environ.get("RANK", "0")))
    return kind()


def trainer(**arguments: Any) -> Trainer:
    """Return a quiet one that trains on two processes."""
    parts = {"accelerator": "cpu", "devices": 2, "strategy": "ddp", "logger": False, "enable_checkpointing": False}
    return Trainer(**{**parts, "enable_progress_bar": False, "enable_model_summary": False, **arguments})


def weights(module: nn.Module) -> dict[str, list[float]]:
    return {name: value.flatten().tolist() for name, value in module.state_dict().items()}


def counting_hook(state: list[int], bucket):  # type: ignore[no-untyped-def]  # torch wants its own type, or none
    state[0] += 1
    return allreduce_hook(None, bucket)  # type: ignore[arg-type]


def train(kind: type[Regression], **arguments: Any) -> Regression:
    module = made(kind)
    trainer(**{"max_epochs": 2, **arguments}).fit(module, DataLoader(samples(24), batch_size=3))
    return module


def accumulation() -> dict[str, Any]:
    calls = [0]
    strategy = DDPStrategy(ddp_comm_hook=counting_hook, ddp_comm_state=calls)
    module = train(Regression, strategy=strategy, accumulate_grad_batches=3, max_epochs=1)
    return {"weights": weights(module), "calls": calls[0]}


def shuffling() -> dict[str, Any]:
    module = made(Regression)
    run = trainer(max_epochs=2)
    run.fit(module, DataLoader(samples(11), batch_size=2, shuffle=True))
    return {"seen": module.seen, "batches": run.num_training_batches}


def evaluation(size: int) -> dict[str, Any]:
    module, logger = made(Regression), FakeLogger()
    run = trainer(logger=logger)
    results = run.validate(module, DataLoader(samples(size), batch_size=2), verbose=False)
    predicted = trainer().predict(module, DataLoader(samples(size), batch_size=2))
    return {"seen": module.seen, "results": results, "predicted": predicted, "logged": bool(logger.metrics)}


def resuming(folder: Path) -> dict[str, Any]:
    """Train eight steps, and again the last three of them from a checkpoint. Rank one has nothing to validate on."""
    loader, watched = DataLoader(samples(13), batch_size=2, shuffle=True), DataLoader(samples(1))
    whole, rest = made(Quiet), made(Quiet)
    whole.save_to = folder / "half.ckpt"
    trainer(max_epochs=2).fit(whole, loader, watched)
    torch.manual_seed(3)
    trainer(max_epochs=2).fit(rest, loader, watched, ckpt_path=whole.save_to)
    return {"whole": weights(whole), "rest": weights(rest), "seen": [whole.seen, rest.seen]}


def everything() -> dict[str, Any]:
    module = made(Regression)
    trainer(max_epochs=1, use_distributed_sampler=False).fit(module, DataLoader(samples(4), batch_size=2))
    return {"seen": module.seen}


def main(folder: Path) -> None:
    found = {
        "plain": weights(train(Regression)),
        "by_hand": weights(train(ByHand)),
        "two_heads": weights(train(TwoHeads, strategy="ddp_find_unused_parameters_true")),
        "accumulation": accumulation(),
        "shuffling": shuffling(),
        "evaluation": {size: evaluation(size) for size in range(1, 10)},
        "resuming": resuming(folder),
        "everything": everything(),
    }
    (folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
