"""Evaluates and predicts on 1 to 17 samples in so many processes: `evaluation_program.py FOLDER PROCESSES`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from ddp_program import trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchmetrics import CatMetric, MeanMetric
from torchmetrics.classification import BinaryAUROC, BinaryConfusionMatrix

from fulmen_core import LightningModule

SIZES = range(1, 18)


class Values(Dataset[Tensor]):
    """Samples whose values are no straight line, so that nothing agrees by accident."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Tensor:
        return torch.tensor(float(index * index % 11) + index / 7, dtype=torch.float64)


class Evaluated(LightningModule):
    """Logs what depends on how batches are made, too."""

    def __init__(self) -> None:
        super().__init__()
        self.average = MeanMetric().set_dtype(torch.float64)
        self.all = CatMetric().set_dtype(torch.float64)
        self.confusion = BinaryConfusionMatrix()
        self.ranking = BinaryAUROC()  # keeps whole numbers in a list

    def validation_step(self, batch: Tensor, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("mean", batch.mean(), sync_dist=True)
        self.log("sum", batch.sum(), sync_dist=True, reduce_fx="sum")
        self.log("least", batch.min(), sync_dist=True, reduce_fx="min")
        self.log("root", batch.pow(2).mean().sqrt(), sync_dist=True, reduce_fx=torch.median)
        self.average.update(batch)
        self.all.update(batch)
        self.confusion.update((batch > 5).int(), (batch % 2 > 1).int())
        self.log("average", self.average)
        self.ranking.update((batch / 12).float(), (batch % 2 > 1).int())
        self.log("ranking", self.ranking)

    def on_validation_epoch_end(self) -> None:
        values = self.all.compute()
        self.log("spread", values.double().std(correction=0))
        for place, count in enumerate(self.confusion.compute().flatten().tolist()):
            self.log(f"confusion{place}", count)
        self.all.reset()
        self.confusion.reset()

    def predict_step(self, batch: Tensor, batch_idx: int) -> dict[str, list[float]]:
        return {"values": batch.tolist()}


def evaluated(size: int, **arguments: Any) -> dict[str, Any]:
    loader = DataLoader(Values(size), batch_size=3)
    run, module = trainer(**arguments), Evaluated()
    (results,) = run.validate(module, loader, verbose=False)
    return {"results": results, "predicted": run.predict(module, loader, gather=True)}


def two_loaders(**arguments: Any) -> list[dict[str, float]]:
    """The second loader has batches for the first rank only."""
    loaders = [DataLoader(Values(7), batch_size=3), DataLoader(Values(2), batch_size=3)]
    return trainer(**arguments).validate(Evaluated(), loaders, verbose=False)


def main(folder: Path, processes: int) -> None:
    arguments: dict[str, Any] = {"devices": processes, "strategy": "ddp" if processes > 1 else "auto"}
    found = {
        "by_size": {size: evaluated(size, **arguments) for size in SIZES},
        "two_loaders": two_loaders(**arguments),
    }
    (folder / f"rank{os.environ.get('RANK', '0')}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
