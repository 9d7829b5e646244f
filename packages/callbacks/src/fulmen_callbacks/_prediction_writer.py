"""Predictions written to files instead of kept."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Literal

from fulmen_callbacks._problems import one_of, refuse
from fulmen_interfaces import Callback, ModuleView, SupportsPredictionIndices, TrainerView

Indices = Sequence[int] | None


class WriteInterval(str, Enum):
    """When predictions are written."""

    BATCH = "batch"
    EPOCH = "epoch"
    BATCH_AND_EPOCH = "batch_and_epoch"

    @property
    def on_batch(self) -> bool:
        """Whether after each batch."""
        return self is not WriteInterval.EPOCH

    @property
    def on_epoch(self) -> bool:
        """Whether at the end, all together."""
        return self is not WriteInterval.BATCH


class BasePredictionWriter(Callback):
    """Base of callbacks that write predictions: override `write_on_batch_end`, `write_on_epoch_end` or both.

    Both run on every rank with that rank's own predictions; the indices are the samples' positions in the dataset,
    where the loader tells them. Together with `predict(..., return_predictions=False)` nothing is kept in memory, if
    predictions are written by batch.
    """

    reads_prediction_indices = True

    def __init__(self, write_interval: Literal["batch", "epoch", "batch_and_epoch"] = "batch") -> None:
        refuse([one_of("write_interval", write_interval, [interval.value for interval in WriteInterval])])
        self.interval = WriteInterval(write_interval)
        self._predictions: list[list[Any]] = []
        self._indices: list[list[Indices]] = []

    def write_on_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        prediction: Any,
        batch_indices: Indices,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the prediction of one batch."""

    def write_on_epoch_end(
        self, trainer: Any, pl_module: Any, predictions: Sequence[Any], batch_indices: Sequence[Any]
    ) -> None:
        """Write all predictions: a list by batch, or lists by loader where there are several.

        The indices are always lists by loader, of lists by batch.
        """

    def on_predict_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._predictions, self._indices = [], []

    def on_predict_batch_end(
        self,
        trainer: TrainerView,
        pl_module: ModuleView,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        indices = trainer.predict_batch_indices if isinstance(trainer, SupportsPredictionIndices) else None
        if self.interval.on_batch:
            self.write_on_batch_end(trainer, pl_module, outputs, indices, batch, batch_idx, dataloader_idx)
        if self.interval.on_epoch:
            while len(self._predictions) <= dataloader_idx:
                self._predictions.append([])
                self._indices.append([])
            self._predictions[dataloader_idx].append(outputs)
            self._indices[dataloader_idx].append(indices)

    def on_predict_epoch_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if not self.interval.on_epoch:
            return
        several = len(trainer.num_predict_batches) > 1
        predictions = self._predictions if several else [one for loader in self._predictions for one in loader]
        self.write_on_epoch_end(trainer, pl_module, predictions, self._indices)
        self._predictions, self._indices = [], []
