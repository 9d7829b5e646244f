"""A program of several runs on two processes, which writes what each rank saw: `fairscale_program.py FOLDER`."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW
from torch.utils.data import DataLoader, TensorDataset

from fulmen_core import LightningModule, Trainer
from fulmen_strategy_fairscale import DDPShardedStrategy

QUIET = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


class Regression(LightningModule):
    """The learning rate changes with every step."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.head = nn.Linear(4, 1)
        self.save_to: Path | None = None
        self.own_state: list[int] = []

    def predicted(self, features: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(features))).squeeze(1)  # type: ignore[no-any-return]

    def loss(self, batch: Sequence[Tensor]) -> Tensor:
        return (self.predicted(batch[0]) - batch[1]).pow(2).mean()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("loss", self.loss(batch), sync_dist=True)

    def configure_optimizers(self) -> Any:
        optimizer = AdamW(self.parameters(), lr=0.05)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.save_to is not None and self.trainer.global_step == 3:
            self.trainer.save_checkpoint(self.save_to)

    def on_train_end(self) -> None:
        states = [optimizer.state for optimizer in self.trainer.optimizers]
        self.own_state = [len(state) for state in states]


class Normed(Regression):
    """Has buffers, too."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def predicted(self, features: Tensor) -> Tensor:
        return self.head(self.norm(self.body(features))).squeeze(1)  # type: ignore[no-any-return]


class Stepping(Normed):
    def configure_optimizers(self) -> Any:
        return SGD(self.parameters(), lr=0.05)


class Several(Regression):
    """Two optimizers by turns, of which one sees the scheduler's changes."""

    def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int) -> Tensor:  # type: ignore[override]
        return self.loss(batch) * (optimizer_idx + 1)

    def configure_optimizers(self) -> Any:
        return [SGD(self.body.parameters(), lr=0.05, momentum=0.9), Adam(self.head.parameters(), lr=0.05)]


class ByHand(Regression):
    """Two losses in a step, whose gradients are added before the first optimizer steps; a third is another's."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        first, second = self.optimizers()
        for half in (slice(0, 2), slice(2, 4)):
            self.manual_backward(self.loss([part[half] for part in batch]))
        first.step()
        first.zero_grad()
        second.zero_grad()
        self.manual_backward(self.predicted(batch[0]).pow(2).mean())
        second.step()
        first.zero_grad()
        second.zero_grad()

    def configure_optimizers(self) -> Any:
        return [SGD(self.body.parameters(), lr=0.05), SGD(self.head.parameters(), lr=0.05)]


class Unfreezing(Regression):
    """The body is trained from the third step on."""

    def on_fit_start(self) -> None:
        self.body.requires_grad_(False)

    def configure_optimizers(self) -> Any:
        return SGD(self.head.parameters(), lr=0.05)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if batch_idx == 2:
            self.body.requires_grad_(True)
            self.trainer.optimizers[0].add_param_group({"params": list(self.body.parameters()), "lr": 0.02})


class Overflowing(Regression):
    """Rank one has a gradient that is not finite in the second step."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.loss(batch) / 100  # scaled, it has room in float16
        return loss * float("inf") if batch_idx == 1 and self.global_rank == 1 else loss

    def configure_optimizers(self) -> Any:
        return SGD([self.head.bias], lr=5)  # one parameter: rank one steps none


def samples(count: int) -> TensorDataset:
    features = torch.randn(count, 3, generator=torch.Generator().manual_seed(7))
    return TensorDataset(features, features.sum(1))


def made(kind: type[Regression]) -> Regression:
    """Return the model with known weights on rank zero, and others elsewhere."""
    torch.manual_seed(int(os.environ.get("RANK", "0")))
    return kind()


def trainer(**arguments: Any) -> Trainer:
    given = {"accelerator": "cpu", "devices": 2, "strategy": "ddp_sharded", "logger": False, "max_epochs": 1}
    return Trainer(**{**given, **QUIET, **arguments})


def weights(module: nn.Module) -> dict[str, list[float]]:
    return {name: value.double().flatten().tolist() for name, value in module.state_dict().items()}


def train(
    kind: type[Regression], *, path: Path | None = None, save_to: Path | None = None, **arguments: Any
) -> dict[str, Any]:
    """Train five steps, or the last of them from a checkpoint on, on four samples per rank and step."""
    module = made(kind)
    module.save_to = save_to
    run = trainer(**arguments)
    run.fit(module, DataLoader(samples(40), batch_size=4), ckpt_path=path)
    memory = [(one.numel(), one.untyped_storage().nbytes()) for one in module.parameters()]
    return {"weights": weights(module), "own_state": module.own_state, "steps": run.global_step, "memory": memory}


def resuming(folder: Path) -> dict[str, Any]:
    """Train five steps, and the last two again from a checkpoint, also where another strategy wrote or reads it."""
    data = DataLoader(samples(40), batch_size=4, shuffle=True)

    def five_steps(strategy: str | DDPShardedStrategy, saved: str | None, goes_on_from: str | None) -> dict[str, Any]:
        module = made(Normed)
        module.save_to = None if saved is None else folder / saved
        path = None if goes_on_from is None else folder / goes_on_from
        trainer(strategy=strategy).fit(module, data, ckpt_path=path)
        return weights(module)

    return {
        "whole": five_steps("ddp_sharded", "sharded.ckpt", None),
        "again": five_steps("ddp_sharded", None, "sharded.ckpt"),
        "read by ddp": five_steps("ddp", None, "sharded.ckpt"),
        "whole of ddp": five_steps("ddp", "ddp.ckpt", None),
        "written by ddp": five_steps("ddp_sharded", None, "ddp.ckpt"),
        "whole with parts": five_steps(DDPShardedStrategy(state_dict_type="sharded"), "parts.ckpt", None),
        "from parts": five_steps("ddp_sharded", None, "parts.ckpt"),
        "parts read by ddp": five_steps("ddp", None, "parts.ckpt"),
    }


def evaluating() -> dict[int, float]:
    """Train, and evaluate numbers of samples that leave a rank with fewer batches or none."""
    trainer().fit(made(Normed), DataLoader(samples(8), batch_size=2), DataLoader(samples(3), batch_size=1))
    found = {}
    for size in (1, 2, 3, 5):
        data = DataLoader(samples(size), batch_size=1)
        (values,) = trainer().validate(made(Normed), data, verbose=False)
        found[size] = values["loss"]
    return found


def scaled() -> dict[str, Any]:
    module = made(Overflowing)
    run = trainer(precision="16-mixed", limit_train_batches=3)
    run.fit(module, DataLoader(samples(40), batch_size=4))
    found: dict[str, Any] = {"weights": weights(module)}
    run.save_checkpoint(Path(sys.argv[1]) / "scaled.ckpt")
    return found


def main(folder: Path) -> None:
    logging.basicConfig(level=logging.WARNING, filename=folder / f"log{os.environ.get('RANK', '0')}.txt")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found: dict[str, Any] = {
            "plain": train(Regression, save_to=folder / "two.ckpt"),
            "accumulation": train(Regression, accumulate_grad_batches=2, gradient_clip_val=0.3),
            "by_value": train(Regression, gradient_clip_val=0.01, gradient_clip_algorithm="value"),
            "from single_device": train(Regression, path=folder / "single.ckpt"),
            "several": train(Several),
            "synchronised": train(Stepping, sync_batchnorm=True),
            "by_hand": train(ByHand),
            "unfreezing": train(Unfreezing),
            "scaled": scaled(),
            "evaluating": evaluating(),
            "resuming": resuming(folder),
        }
    import fairscale  # not before the runs, which must import it quietly themselves

    library = Path(fairscale.__file__).parent
    found["warnings"] = [str(one.message) for one in caught if library in Path(one.filename).parents]
    (folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
