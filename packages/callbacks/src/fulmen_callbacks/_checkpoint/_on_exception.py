"""A checkpoint of the moment in which a run fails."""

from __future__ import annotations

import os

from fulmen_callbacks import _files
from fulmen_callbacks._checkpoint._base import Checkpoint
from fulmen_callbacks._problems import refuse
from fulmen_interfaces import ModuleView, Problem, TrainerView


class OnExceptionCheckpoint(Checkpoint):
    """Write `dirpath/filename.ckpt` when a run ends with an error; a run that ends well removes it."""

    FILE_EXTENSION: str = ".ckpt"

    def __init__(self, dirpath: str | os.PathLike[str], filename: str = "on_exception") -> None:
        if not filename:
            refuse([Problem("filename", filename, "It is empty.", 'Leave it out for "on_exception".')])
        self.dirpath = _files.absolute(dirpath)
        self.filename = filename
        self._failed = False

    @property
    def ckpt_path(self) -> str:
        """Where it writes."""
        return os.path.join(self.dirpath, self.filename + self.FILE_EXTENSION)

    def find_last_checkpoints(self, trainer: TrainerView) -> set[str]:
        """Return what the last failed run left, so that `ckpt_path="last"` goes on from there."""
        return {self.ckpt_path} if _files.exists(self.ckpt_path) else set()

    def setup(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        self._failed = False

    def on_exception(self, trainer: TrainerView, pl_module: ModuleView, exception: BaseException) -> None:
        self._failed = True
        trainer.save_checkpoint(self.ckpt_path)

    def teardown(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        if stage == "fit" and not self._failed:
            trainer.remove_checkpoint(self.ckpt_path)
