"""A program whose processes are started in other ways: `started_program.py FOLDER STRATEGY...`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # the first optimizer imports it: once here, not in each forked process
from ddp_program import trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fulmen_core import LightningModule
from fulmen_interfaces import Callback
from fulmen_strategy_ddp import DDPStrategy


class Mean(LightningModule):
    """Learns the mean of what it sees, in one step."""

    def __init__(self, fail: bool = False) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(1))
        self.fail = fail

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        if self.fail and self.global_rank == 1:
            raise KeyError("rank one has had enough")
        self.log("seen", batch.mean(), on_epoch=True, sync_dist=True)
        return (self.level - batch).pow(2).mean() / 2

    def predict_step(self, batch: Tensor, batch_idx: int) -> list[float]:
        numbers: list[float] = batch.flatten().tolist()
        return numbers

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


class Halving(Callback):
    """Logs half of what the module learns."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.log("half", pl_module.level.item() / 2)


def run(strategy: str) -> dict[str, Any]:
    data = DataLoader(torch.arange(4.0), batch_size=2)
    chosen = DDPStrategy(start_method="forkserver") if strategy == "forkserver" else strategy
    halving = Halving()
    fitting = trainer(strategy=chosen, max_epochs=1, callbacks=[halving])
    module = Mean()
    fitting.fit(module, data)
    found = {
        "level": module.level.item(),
        "seen": fitting.callback_metrics["seen"].item(),
        "half": fitting.callback_metrics["half"].item(),
        "held by the callback": [str(value) for value in vars(halving).values()],
        "steps": fitting.global_step,
        "pid": os.getpid(),
        "rank": fitting.global_rank,
    }
    if strategy == "ddp_fork":
        found["predicted"] = fitting.predict(module, data)
        try:
            fitting.fit(Mean(fail=True), data)
        except KeyError as error:
            found["error"] = [str(error), str(error.__cause__)]
    return found


def main(folder: Path, *strategies: str) -> None:
    found = {strategy: run(strategy) for strategy in strategies}
    (folder / f"rank{os.environ.get('RANK', '-none')}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
