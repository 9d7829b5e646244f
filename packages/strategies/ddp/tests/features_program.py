"""What DDP can do beside averaging gradients, on two processes: `features_program.py FOLDER`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from ddp_program import Regression, made, samples, trainer, weights
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook, fp16_compress_wrapper
from torch.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import PostLocalSGDState, post_localSGD_hook
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState, powerSGD_hook
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader

import fulmen_core
import fulmen_strategy_ddp
from fulmen_strategy_ddp import DDPStrategy

OURS = tuple(str(Path(module.__file__ or "").parent) for module in (fulmen_core, fulmen_strategy_ddp))


class Normed(Regression):
    """With batch norm in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        _, features, targets = batch
        return (self.head(torch.tanh(self.norm(self.body(features)))).squeeze(1) - targets).pow(2).mean()


class Saving(Regression):
    """Saves in the middle and at the end."""

    folder: Path | None = None

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.folder is not None and self.trainer.global_step == 5:
            self.trainer.save_checkpoint(self.folder / "local.ckpt")


class Looking(Regression):
    """Looks at who called it."""

    frames = 0

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        type(self).frames = frames_since_fit(sys._getframe(1))
        return super().training_step(batch, batch_idx)


def frames_since_fit(frame: FrameType | None) -> int:
    ours = 0
    while frame is not None and frame.f_code.co_name != "fit":
        ours += frame.f_code.co_filename.startswith(OURS)
        frame = frame.f_back
    return ours


def fit(kind: type[Regression], *, count: int = 24, **arguments: Any) -> Regression:
    module = made(kind)
    trainer(**{"max_epochs": 2, **arguments}).fit(module, DataLoader(samples(count), batch_size=3))
    return module


def batchnorm(**arguments: Any) -> dict[str, Any]:
    module = fit(Normed, sync_batchnorm=True, **arguments)
    return {"weights": weights(module), "layer": type(module.norm).__name__}


def options() -> dict[str, Any]:
    """Weights under every way in which gradients may travel."""
    strategies: dict[str, Callable[[], DDPStrategy]] = {
        "plain": DDPStrategy,
        "static_graph": lambda: DDPStrategy(static_graph=True),
        "bucket_view": lambda: DDPStrategy(gradient_as_bucket_view=True, bucket_cap_mb=1),
        "fp16": lambda: DDPStrategy(ddp_comm_hook=fp16_compress_hook),
        "fp16_wrapped": lambda: DDPStrategy(
            ddp_comm_hook=powerSGD_hook,
            ddp_comm_state=PowerSGDState(None, matrix_approximation_rank=4, start_powerSGD_iter=4),
            ddp_comm_wrapper=fp16_compress_wrapper,
        ),
        "power_sgd": lambda: DDPStrategy(
            ddp_comm_hook=powerSGD_hook,
            ddp_comm_state=PowerSGDState(None, matrix_approximation_rank=4, start_powerSGD_iter=4),
        ),
    }
    return {name: weights(fit(Regression, strategy=make())) for name, make in strategies.items()}


def local_strategy() -> DDPStrategy:
    state = PostLocalSGDState(None, None, start_localSGD_iter=2, post_local_gradient_allreduce=False)
    return DDPStrategy(ddp_comm_hook=post_localSGD_hook, ddp_comm_state=state, model_averaging_period=3)


def averaging(folder: Path) -> dict[str, Any]:
    """Two steps together, then alone with averages after every third: steps 3, 6 and 9 of ten."""
    found: dict[str, Any] = {}
    for steps in (4, 5, 6, 7):
        module = made(Saving)
        module.folder = folder if steps == 7 else None
        trainer(max_epochs=-1, max_steps=steps, strategy=local_strategy()).fit(
            module, DataLoader(samples(48), batch_size=3)
        )
        found[str(steps)] = weights(module)
    state = torch.load(folder / "local.ckpt", weights_only=True)["optimizer_states"][0]
    found["saved"] = state["model_averager_steps"]
    return found


def all_reduces(**arguments: Any) -> int:
    """How often gradients travel in an epoch of four batches."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        fit(Regression, max_epochs=1, **arguments)
    return sum(event.count for event in profiler.key_averages() if event.key == "gloo:all_reduce")


def main(folder: Path) -> None:
    fit(Looking, max_epochs=1, count=6)
    found = {
        "frames": Looking.frames,
        "batchnorm": batchnorm(),
        "options": options(),
        "averaging": averaging(folder),
        "all_reduces": [all_reduces(), all_reduces(accumulate_grad_batches=2), all_reduces(accumulate_grad_batches=3)],
    }
    (folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
