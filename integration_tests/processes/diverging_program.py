"""A program whose two ranks do different things: `diverging_program.py KIND`. Each kind is marked where it parts."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader

import fulmen_core as L


class Net(L.LightningModule):
    """Trains alike on all ranks; the kinds below do not."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor | None:
        sys.stderr.write(f"at {time.time()}\n")
        self.odd(batch_idx)
        return self.layer(batch).sum()

    def odd(self, batch_idx: int) -> None:
        """What this rank does beside training."""

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("validated", self.layer(batch).sum(), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class OneGathers(Net):
    def odd(self, batch_idx: int) -> None:
        if self.global_rank == 1 and batch_idx == 2:
            self.all_gather(torch.ones(1))  # rank 1 parts here


class OneSaves(Net):
    def on_train_batch_end(self, *args: Any) -> None:
        if self.global_rank == 0:
            self.trainer.save_checkpoint(os.devnull)  # rank 0 parts here


class Shapes(Net):
    def odd(self, batch_idx: int) -> None:
        self.all_gather(torch.ones(1 + self.global_rank))  # both part here


class Sources(Net):
    def odd(self, batch_idx: int) -> None:
        self.trainer.strategy.collectives.broadcast(1, src=self.global_rank)  # both part here


class OneRaises(Net):
    def odd(self, batch_idx: int) -> None:
        if self.global_rank == 1 and batch_idx == 2:
            raise KeyError("rank one has had enough")  # rank 1 parts here


class OneSkips(Net):
    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor | None:
        return None if self.global_rank == 1 and batch_idx == 1 else super().training_step(batch, batch_idx)


class PastUs(Net):
    """Speaks to the others without the framework."""

    def odd(self, batch_idx: int) -> None:
        if batch_idx == 2:
            if self.global_rank == 0:
                dist.barrier()  # rank 0 parts here
            else:
                dist.recv(torch.ones(1), src=0)  # rank 1 parts here


class OneEnds(Net):
    def odd(self, batch_idx: int) -> None:
        if self.global_rank == 1 and batch_idx == 2:
            sys.exit()


class OneIsKilled(Net):
    def odd(self, batch_idx: int) -> None:
        if self.global_rank == 1 and batch_idx == 2:
            os.kill(os.getpid(), 9)  # rank 1 parts here


class AllAreSlow(Net):
    def odd(self, batch_idx: int) -> None:
        if self.global_step == 2:
            time.sleep(9)  # such as for the disk


KINDS = {
    "one gathers": OneGathers,
    "one saves": OneSaves,
    "other shapes": Shapes,
    "one raises": OneRaises,
    "one skips": OneSkips,
    "past us": PastUs,
    "one ends": OneEnds,
    "one is killed": OneIsKilled,
    "one validates": Net,
    "other sources": Sources,
    "all are slow": AllAreSlow,
    "nothing": Net,
}


def main(kind: str, strategy: str = "ddp") -> None:
    rank = int(os.environ.get("RANK", "0"))
    trainer = L.Trainer(
        accelerator="cpu",
        devices=2,
        strategy=strategy,
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        val_check_interval=3 if kind == "one validates" and rank == 1 else 4,
    )
    trainer.fit(KINDS[kind](), DataLoader(torch.ones(12, 1)), DataLoader(torch.ones(4, 1)))
    print("the program went on", type(trainer.strategy.collectives).__name__, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
