"""Trains cells after each other, and writes what each rank saw: `matrix_program.py FOLDER CELLS`, which are JSON."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).parent))

from matrix_cells import Cell
from matrix_model import BATCH, LIMIT, STEPS, WINDOW, Regression, data

from fulmen_core import Trainer


class Reporting(Regression):
    """Writes what came of its training where it was trained: launched processes end with the run."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_train_end(self) -> None:
        trainer = self.trainer
        trainer.save_checkpoint(self.folder / "trained.ckpt")
        seen: dict[str, Any] = {
            "steps": trainer.global_step,
            "world": trainer.world_size,
            "device": self.device.type,
            "computed_in": sorted(self.computed_in),
            "samples": self.samples,
            "pid": os.getpid(),
        }
        report = self.folder / f"rank{trainer.global_rank}"
        report.with_suffix(".part").write_text(json.dumps(seen))
        report.with_suffix(".part").rename(report.with_suffix(".json"))


def train(cell: Cell, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(
        accelerator=cell.accelerator,
        strategy=cell.strategy,
        precision=cell.precision,
        devices=cell.devices,
        max_steps=STEPS,
        accumulate_grad_batches=WINDOW,
        gradient_clip_val=LIMIT,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Reporting(folder), DataLoader(data(), batch_size=BATCH // cell.devices))


def main(folder: Path, cells: list[Cell]) -> None:
    torch.set_num_threads(1)
    for cell in cells:
        try:
            train(cell, folder / cell.id)
        except BaseException:
            tell(folder / cell.id)
            raise


def tell(folder: Path) -> None:
    """Write what went wrong."""
    (folder / f"error{os.environ.get('RANK', '0')}.txt").write_text(traceback.format_exc())


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Cell(**one) for one in json.loads(sys.argv[2])])
