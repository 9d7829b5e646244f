"""What watches the runs of a verification: it writes checkpoints at the cuts, and what a run came to at its end."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from fulmen_interfaces import Callback, CallbackOrder, Logger, RunningStage, TrainerView

KEY = "fulmen_verification"
"""Where in a checkpoint the observer puts what it saw."""
AT_BATCH_END = "at its end"
AFTER_VALIDATION = "after its validation"
AT_EPOCH_END = "at the end of its epoch"


class MemoryLogger(Logger):
    """Keeps everything that is sent to it."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return "verification"

    @property
    def version(self) -> int:
        """Version of the experiment."""
        return 0

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep metrics of one step."""
        self.records.append({"step": step, "metrics": dict(metrics)})

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Leave them out: each resumed run sends them again."""


@dataclass(frozen=True)
class Cut:
    """A checkpoint that was written on the way."""

    batch: int
    place: str
    path: str


@dataclass
class Observer(Callback):
    """Counts training batches, writes a checkpoint where one of `batches` ends, and another when training is over.

    What it saw is in the checkpoints, so that nothing need come back from the processes of a run.
    """

    order: ClassVar[CallbackOrder] = CallbackOrder.CHECKPOINT

    logger: MemoryLogger
    folder: str
    batches: Collection[int] = ()
    done: int = 0
    """Training batches of this run."""
    cuts: list[Cut] = field(default_factory=list)

    @property
    def final_path(self) -> str:
        """The checkpoint of the end."""
        return os.path.join(self.folder, "final.ckpt")

    def on_train_batch_end(
        self, trainer: TrainerView, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.done += 1
        self._cut(trainer, AT_BATCH_END)

    def on_validation_end(self, trainer: TrainerView, pl_module: Any) -> None:
        if trainer.running_stage is not RunningStage.SANITY_CHECKING:
            self._cut(trainer, AFTER_VALIDATION)

    def on_train_epoch_end(self, trainer: TrainerView, pl_module: Any) -> None:
        self._cut(trainer, AT_EPOCH_END)

    def on_train_end(self, trainer: TrainerView, pl_module: Any) -> None:
        trainer.save_checkpoint(self.final_path)

    def on_save_checkpoint(self, trainer: TrainerView, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint[KEY] = {
            "logged": list(self.logger.records),
            "metrics": dict(trainer.callback_metrics),
            "done": self.done,
            "cuts": [(cut.batch, cut.place, cut.path) for cut in self.cuts],
        }

    def _cut(self, trainer: TrainerView, place: str) -> None:
        if self.done in self.batches:
            path = os.path.join(self.folder, f"{len(self.cuts)}.ckpt")
            self.cuts.append(Cut(self.done, place, path))
            trainer.save_checkpoint(path)
