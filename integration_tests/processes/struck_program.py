"""A program of two ranks, one of which comes to grief: `struck_program.py FOLDER STRATEGY RANK MOMENT KIND`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import fulmen_core as L
from fulmen_callbacks import ModelCheckpoint
from fulmen_interfaces import Callback


class Struck(Exception):
    """An error of the user's."""


def fail() -> None:
    raise Struck("struck on purpose")


KINDS: dict[str, Callable[[], None]] = {
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "SIGTERM": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "exception": fail,
    "exit 3": lambda: os._exit(3),
    "exit 0": lambda: os._exit(0),
}


@dataclass(frozen=True)
class Blow:
    """What happens to which rank, and when."""

    folder: Path
    rank: int
    moment: str
    kind: str

    def at(self, moment: str, rank: int) -> None:
        """Strike where this is the place."""
        if (moment, rank) == (self.moment, self.rank):
            self.strike()

    def strike(self) -> None:
        """Write down when, and strike."""
        (self.folder / "struck").write_text(str(time.time()))
        KINDS[self.kind]()

    def while_writing(self, rank: int) -> None:
        """Strike as soon as a checkpoint is under way: from a thread, for the main one writes."""
        if (self.moment, self.rank) == ("writing", rank) and self.kind != "exception":
            threading.Thread(target=self._watch_writing, daemon=True).start()

    def _watch_writing(self) -> None:
        files = self.folder / "checkpoints"
        while not (list(files.glob("*.ckpt")) and list(files.glob(".*.tmp"))):
            time.sleep(0.0002)
        self.strike()


class Meets(Callback):
    """Waits for the blow in every phase of the run."""

    def __init__(self, blow: Blow) -> None:
        self.blow = blow

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.blow.at("set-up", trainer.global_rank)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self.blow.at("prepared", trainer.global_rank)
        self.blow.while_writing(trainer.global_rank)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 5:
            self.blow.at("training", trainer.global_rank)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        if trainer.global_step == 5 and self.blow.kind == "exception":
            self.blow.at("writing", trainer.global_rank)

    def on_validation_batch_start(self, trainer: Any, *args: Any) -> None:
        self.blow.at("validation", trainer.global_rank)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.blow.at("teardown", trainer.global_rank)


class Net(L.LightningModule):
    """A module whose file takes a while to write."""

    def __init__(self, blow: Blow) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.register_buffer("ballast", torch.zeros(1_000_000))
        self.blow = blow

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        if batch_idx == 6:
            self.blow.at("step", self.global_rank)
        return self.layer(batch).square().mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("level", self.layer(batch).mean(), sync_dist=True)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.01)


def main(folder: Path, strategy: str, rank: int, moment: str, kind: str) -> None:
    blow = Blow(folder, rank, moment, kind)
    blow.at("start", int(os.environ.get("RANK", "0")))
    keeper = ModelCheckpoint(dirpath=folder / "checkpoints", every_n_train_steps=1, save_last=True)
    trainer = L.Trainer(
        accelerator="cpu",
        devices=2,
        strategy=strategy,
        max_epochs=2,
        callbacks=[Meets(blow), keeper],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(Net(blow), DataLoader(torch.ones(16, 1)), DataLoader(torch.ones(4, 1)))
    blow.at("end", int(os.environ.get("RANK", "0")))
    print("the program came to its end")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5])
