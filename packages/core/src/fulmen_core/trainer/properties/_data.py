"""The data of a run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from fulmen_core.trainer.properties._base import TrainerBase
from fulmen_interfaces import (
    Every,
    Stage,
)


class DataProperties(TrainerBase):
    """The run's data: what it came from, and how much there is."""

    @property
    def datamodule(self) -> Any:
        """The data module of the run, if any."""
        return None if self._session is None else self._session.job.datamodule

    @property
    def train_dataloader(self) -> Any:
        """What the training data came from."""
        return None if self._session is None else self._session.data.train_loader

    @property
    def val_dataloaders(self) -> Any:
        """What the validation data came from."""
        return None if self._session is None else self._session.data.loaders_of(Stage.VALIDATE)

    @property
    def test_dataloaders(self) -> Any:
        """What the test data came from."""
        return None if self._session is None else self._session.data.loaders_of(Stage.TEST)

    @property
    def predict_dataloaders(self) -> Any:
        """What the data for predictions came from."""
        return None if self._session is None else self._session.data.loaders_of(Stage.PREDICT)

    @property
    def predict_batch_indices(self) -> Sequence[int] | None:
        """Positions of the present batch's samples in the data set predicted on.

        None where the loader does not tell them, and where no callback of the run is a `ReadsPredictionIndices`.
        """
        return None if self._session is None else self._session.data.predicted_indices

    @property
    def num_training_batches(self) -> int | float:
        """Training batches of an epoch on this rank; infinity where the data does not tell."""
        return 0 if self._session is None else self._session.data.num_training_batches

    @property
    def num_sanity_val_batches(self) -> list[int | float]:
        """Batches of the sanity check, by loader."""
        steps = self._runner.settings.num_sanity_val_steps
        return [min(steps, count) for count in self.num_val_batches]

    @property
    def num_val_batches(self) -> list[int | float]:
        """Validation batches, by loader."""
        return [] if self._session is None else self._session.data.num_batches_of(Stage.VALIDATE)

    @property
    def num_test_batches(self) -> list[int | float]:
        """Test batches, by loader."""
        return [] if self._session is None else self._session.data.num_batches_of(Stage.TEST)

    @property
    def num_predict_batches(self) -> list[int | float]:
        """Prediction batches, by loader."""
        return [] if self._session is None else self._session.data.num_batches_of(Stage.PREDICT)

    @property
    def accumulate_grad_batches(self) -> int:
        """Batches of a full accumulation window. During a fit it may be set where no window is open."""
        return self._runner.settings.accumulate_grad_batches if self._fit is None else self._fit.window.size

    @accumulate_grad_batches.setter
    def accumulate_grad_batches(self, batches: int) -> None:
        self._runner.accumulate(batches)

    @property
    def enable_validation(self) -> bool:
        """Whether the present fit validates at all."""
        return self._session is not None and self._session.data.validates

    @property
    def check_val_every_n_epoch(self) -> int | None:
        """Epochs between validations; None where batches are counted across epochs."""
        return self._runner.settings.check_val_every_n_epoch

    @property
    def val_check_interval(self) -> int | float | timedelta | Every:
        """Share of an epoch, training batches, time, or steps or samples with their unit, between validations."""
        return self._runner.settings.val_check_interval

    @property
    def val_check_due(self) -> bool:
        """Whether validation will run right after the present training batch."""
        return self._fit is not None and self._fit.validation_is_due
