"""Write `fixtures/` with Lightning: `python write_fixtures.py` where Lightning 2.6 is installed.

The files are what Lightning itself wrote; the tests read them without it.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from interop_cases import data_class, module_class, sgd  # noqa: F401
from lightning.pytorch.callbacks import ModelCheckpoint

HERE = Path(__file__).parent / "fixtures"
QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
Small, SmallData = module_class(L), data_class(L)
globals()["Small"] = Small


def written_by(keeper: ModelCheckpoint, name: str, *, manual: bool = False, **arguments: Any) -> None:
    """Train, and keep the last file that a ModelCheckpoint wrote."""
    data = SmallData(folds=4)
    data.note = "from Lightning"
    trainer = L.Trainer(**{"max_epochs": 2, "callbacks": [keeper], **QUIET, **arguments})
    trainer.fit(Small(width=5, manual=manual), data)
    shutil.copy(keeper.best_model_path, HERE / f"{name}.ckpt")
    if name == "epoch_end":
        trainer.save_checkpoint(HERE / "after_fit.ckpt")
        trainer.save_checkpoint(HERE / "weights_only.ckpt", weights_only=True)


def main() -> None:
    """Write all files."""
    warnings.filterwarnings("ignore")
    HERE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:

        def keeper(**arguments: Any) -> ModelCheckpoint:
            return ModelCheckpoint(dirpath=folder, **arguments)

        written_by(keeper(every_n_train_steps=7), "mid_epoch")
        written_by(keeper(every_n_train_steps=5), "last_batch", max_epochs=1)
        written_by(keeper(every_n_epochs=1), "epoch_end")
        written_by(keeper(save_on_train_epoch_end=False), "validation_end", val_check_interval=2, max_steps=8)
        written_by(keeper(every_n_train_steps=14), "manual_mid_epoch", manual=True)


if __name__ == "__main__":
    main()
