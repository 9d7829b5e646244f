"""A program of several runs on two processes, which writes what each rank saw: `fsdp_program.py FOLDER`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, TensorDataset

from fulmen_core import LightningModule, Trainer
from fulmen_strategy_fsdp import FSDPStrategy

QUIET = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
BLOCKS = {nn.Linear}


class Regression(LightningModule):
    """Samples are (number, features, target). A parameter and a layer are used outside of any block."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
        self.head = nn.Linear(4, 1)
        self.scale = nn.Parameter(torch.ones(1))
        self.seen: list[list[int]] = []

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        _, features, targets = batch
        hidden = self.inner(torch.tanh(self.body(features) * self.scale))
        loss: Tensor = (self.head(hidden).squeeze(1) - targets).pow(2).mean()
        return loss

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.seen.append(batch[0].tolist())
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.seen.append(batch[0].tolist())
        self.loss(batch)
        self.log("mean", batch[0].double().mean(), sync_dist=True)

    def predict_step(self, batch: Any, batch_idx: int) -> list[int]:
        self.loss(batch)
        numbers: list[int] = batch[0].tolist()
        return numbers

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


class Adaptive(Regression):
    """Two groups of parameters, one of them frozen in part, one parameter in no group."""

    def __init__(self) -> None:
        super().__init__()
        self.body.bias.requires_grad_(False)

    def configure_optimizers(self) -> Any:
        body: dict[str, Any] = {"params": self.body.parameters(), "lr": 0.01}
        return torch.optim.AdamW([body, {"params": self.head.parameters()}], lr=0.02)


class Tied(Regression):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.twin = nn.Linear(4, 4)
        self.inner[0].weight = self.twin.weight

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        hidden = self.twin(self.inner(torch.tanh(self.body(batch[1]) * self.scale)))
        loss: Tensor = (self.head(hidden).squeeze(1) - batch[2]).pow(2).mean()
        return loss


class ByHand(Regression):
    """Two optimizers, stepped by hand in turn; the second loss is computed after the first step."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        for optimizer in self.optimizers():
            for part in (1.0, 0.5):  # gradients of two losses add up
                self.manual_backward(self.loss(batch) * part)
            optimizer.step()
            self.zero_grad()

    def configure_optimizers(self) -> Any:
        first = [self.scale, *self.body.parameters()]
        second = [*self.inner.parameters(), *self.head.parameters()]
        return [torch.optim.SGD(first, lr=0.05), torch.optim.SGD(second, lr=0.02, momentum=0.5)]


class InTurn(ByHand):
    """The two optimizers, stepped in turn by the Trainer."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = True

    def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int) -> Tensor:  # type: ignore[override]
        return self.loss(batch) * (optimizer_idx + 1)


class Skipping(Regression):
    """Runs forward in each step, and computes gradients in every second one only."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:  # type: ignore[override]
        loss = self.loss(batch)
        return loss if batch_idx % 2 else None


class Gentle(Regression):
    """Has gradients so small that no scaled one overflows."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) / 64


class Overflowing(Gentle):
    """Has no finite gradient in its second step, on rank one only."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        return loss * float("inf") if len(self.seen) == 2 and self.global_rank == 1 else loss


class OwnSharding(Regression):
    """Parts one of its blocks itself."""

    def configure_model(self) -> None:
        from torch.distributed.fsdp import fully_shard

        fully_shard(self.inner)


class Late(Regression):
    """Is made without memory; its parts know how they begin."""

    def __init__(self) -> None:
        super().__init__()
        del self.scale
        self.scale = 1.0  # type: ignore[assignment]


class Saving(Regression):
    """Saves in the middle."""

    save_to: Path | None = None
    save_after = 5

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.save_to is not None and len(self.seen) == self.save_after:
            self.trainer.save_checkpoint(str(self.save_to))

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.loss(batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=0.02)


def samples(count: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(7)
    features = torch.randn(count, 3, generator=generator)
    return TensorDataset(torch.arange(count), features, features.sum(1))


def made(kind: Callable[[], Any]) -> Any:
    """Return the model with known weights on rank zero, and others elsewhere."""
    torch.manual_seed(int(os.environ.get("RANK", "0")))
    return kind()


def trainer(**arguments: Any) -> Trainer:
    strategy = FSDPStrategy(auto_wrap_policy=BLOCKS)
    return Trainer(**{"accelerator": "cpu", "devices": 2, "strategy": strategy, "logger": False, **QUIET, **arguments})


def weights(module: nn.Module) -> dict[str, list[float]]:
    """Return whole weights, put together by torch alone."""
    state = {name: _whole(value) for name, value in module.state_dict().items()}
    return {name: value.flatten().tolist() for name, value in state.items()}


def _whole(value: Tensor) -> Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value


def train(kind: Callable[[], Any], *, same_weights: bool = False, **arguments: Any) -> dict[str, list[float]]:
    module = made(kind)
    if same_weights:
        torch.manual_seed(0)
        module = kind()
    trainer(**{"max_epochs": 2, **arguments}).fit(module, DataLoader(samples(24), batch_size=3))
    return weights(module)


def evaluation(size: int) -> dict[str, Any]:
    module, run = made(Regression), trainer()
    results = run.validate(module, DataLoader(samples(size), batch_size=1), verbose=False)
    predicted = run.predict(module, DataLoader(samples(size), batch_size=1))
    return {"seen": module.seen, "results": results, "predicted": predicted}


def several_loaders() -> list[list[int]]:
    """Evaluate three samples, one, and four, with weights that stay gathered as long as nobody needs help."""
    module = made(Regression)
    run = trainer(strategy=FSDPStrategy(auto_wrap_policy=BLOCKS, sharding_strategy="SHARD_GRAD_OP"))
    run.validate(module, [DataLoader(samples(size)) for size in (3, 1, 4)], verbose=False)
    seen: list[list[int]] = module.seen
    return seen


def one_after_the_other() -> dict[str, list[float]]:
    """Evaluate, train twice and evaluate again the same module, with several trainers."""
    module, data = made(Regression), DataLoader(samples(24), batch_size=3)
    trainer().validate(module, DataLoader(samples(3), batch_size=1), verbose=False)
    for _ in range(2):
        run = trainer(max_epochs=1, limit_val_batches=1)
        run.fit(module, data, DataLoader(samples(1)))
        run.predict(module, DataLoader(samples(5), batch_size=2))
    return weights(module)


def resuming(folder: Path, name: str, **arguments: Any) -> dict[str, Any]:
    """Train on eight batches, and again on the last three from a checkpoint. Rank one has nothing to validate on."""
    loader, watched = DataLoader(samples(13), batch_size=2, shuffle=True), DataLoader(samples(1))
    whole, rest = made(Saving), made(Saving)
    whole.save_to = folder / name
    trainer(max_epochs=2, **arguments).fit(whole, loader, watched)
    torch.manual_seed(3)
    trainer(max_epochs=2, **arguments).fit(rest, loader, watched, ckpt_path=whole.save_to)
    return {"whole": weights(whole), "rest": weights(rest), "seen": [whole.seen, rest.seen]}


def going_on(folder: Path, kind: Callable[[], Any], name: str) -> dict[str, list[float]]:
    """Go on from what one process wrote after an epoch, for one more; and write a file after that."""
    module, run = made(kind), trainer(max_epochs=2)
    run.fit(module, DataLoader(samples(24), batch_size=3), ckpt_path=folder / f"{name}-one-process.ckpt")
    run.save_checkpoint(folder / f"{name}-two-processes.ckpt")
    return weights(module)


def without_memory() -> dict[str, list[float]]:
    run = trainer(max_epochs=1, limit_train_batches=0)
    torch.manual_seed(5)
    with run.init_module(empty_init=True):
        module = Late()
    assert module.body.weight.is_meta
    torch.manual_seed(5)
    run.fit(module, DataLoader(samples(4)))
    return weights(module)


def main(folder: Path) -> None:
    def fsdp(auto_wrap_policy: Any = None, **settings: Any) -> FSDPStrategy:
        return FSDPStrategy(auto_wrap_policy=auto_wrap_policy, **settings)

    found = {
        "plain": train(Regression),
        "whole": train(Regression, strategy="fsdp"),
        "kept": train(Regression, strategy=fsdp(auto_wrap_policy=12, sharding_strategy="SHARD_GRAD_OP")),
        "offloaded": train(Regression, strategy="fsdp_cpu_offload"),
        "recomputed": train(
            Regression, strategy=fsdp(auto_wrap_policy=BLOCKS, activation_checkpointing_policy={nn.Sequential})
        ),
        "accumulation": train(Regression, max_epochs=1, accumulate_grad_batches=3, gradient_clip_val=0.3),
        "by_value": train(Regression, gradient_clip_val=0.05, gradient_clip_algorithm="value"),
        "adaptive": train(Adaptive),
        "tied": train(Tied),
        "by_hand": train(ByHand),
        "by_hand_whole": train(ByHand, strategy="fsdp"),
        "in_turn": train(InTurn),
        "skipping": train(Skipping, strategy="fsdp"),
        "own": train(OwnSharding, same_weights=True),
        "mixed": train(Regression, precision="bf16-mixed"),
        "double": train(Regression, precision="64-true"),
        "scaled": train(Gentle, precision="16-mixed"),
        "overflowing": train(Overflowing, precision="16-mixed"),
        "half": train(Regression, precision="bf16-true"),
        "evaluation": {size: evaluation(size) for size in range(1, 6)},
        "several_loaders": several_loaders(),
        "one_after_the_other": one_after_the_other(),
        "resuming": resuming(folder, "half.ckpt"),
        "resuming_in_a_window": resuming(folder, "window.ckpt", accumulate_grad_batches=3, gradient_clip_val=0.5),
        "resuming_from_parts": resuming(folder, "parts.ckpt", strategy=fsdp(BLOCKS, state_dict_type="sharded")),
        "resuming_in_a_window_from_parts": resuming(
            folder, "window-parts.ckpt", strategy=fsdp(None, state_dict_type="sharded"), accumulate_grad_batches=2
        ),
        "going_on": {name: going_on(folder, kind, name) for name, kind in KINDS.items()},
        "without_memory": without_memory(),
    }
    (folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(found))


KINDS: dict[str, Callable[[], Any]] = {"adaptive": Adaptive, "tied": Tied, "by_hand": ByHand}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
