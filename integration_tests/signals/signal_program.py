"""A program as users write it, for signals from outside: `python signal_program.py <workers> <seconds per step>`."""

from __future__ import annotations

import sys
import time
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset

import fulmen_core as L
from fulmen_interfaces import Callback


class Net(L.LightningModule):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.seconds = seconds

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        print("step", batch_idx, flush=True)
        time.sleep(self.seconds)
        return self.layer(batch[0]).square().mean()

    def on_train_batch_end(self, *args: Any) -> None:
        print("end", args[2], flush=True)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Tells(Callback):
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        print("on_exception", type(exception).__name__, flush=True)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        print("teardown", stage, flush=True)


def main(workers: int, seconds: float) -> None:
    data = DataLoader(TensorDataset(torch.ones(4000, 2)), batch_size=2, num_workers=workers)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(max_epochs=1, callbacks=[Tells()], enable_model_summary=False, **quiet)
    trainer.fit(Net(seconds), data)
    print("the program went on", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
