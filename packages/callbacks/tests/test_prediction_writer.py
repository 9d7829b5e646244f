"""What writers of predictions are given, and when."""

from __future__ import annotations

from typing import Any

import pytest

from fulmen_callbacks import BasePredictionWriter
from fulmen_interfaces import ConfigurationError


class Writer(BasePredictionWriter):
    def __init__(self, interval: Any) -> None:
        super().__init__(interval)
        self.batches: list[Any] = []
        self.epochs: list[Any] = []

    def write_on_batch_end(self, trainer, pl_module, prediction, batch_indices, batch, batch_idx, dataloader_idx):  # type: ignore[no-untyped-def]
        self.batches.append((prediction, batch_indices, batch, batch_idx, dataloader_idx))

    def write_on_epoch_end(self, trainer, pl_module, predictions, batch_indices):  # type: ignore[no-untyped-def]
        self.epochs.append((list(predictions), list(batch_indices)))


class Telling:
    """A trainer that knows which samples it predicts."""

    def __init__(self, loaders: int) -> None:
        self.num_predict_batches = [2] * loaders
        self.predict_batch_indices: list[int] | None = None


def predict(writer: Writer, trainer: Any, loaders: int, indices: Any = None) -> None:
    writer.on_predict_start(trainer, None)  # type: ignore[arg-type]
    for loader in range(loaders):
        for batch in range(2):
            if indices:
                trainer.predict_batch_indices = indices[batch]
            writer.on_predict_batch_end(trainer, None, f"p{loader}{batch}", f"b{batch}", batch, loader)  # type: ignore[arg-type]
    writer.on_predict_epoch_end(trainer, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("interval", "batches", "epochs"), [("batch", 2, 0), ("epoch", 0, 1), ("batch_and_epoch", 2, 1)]
)
def test_predictions_are_written_when_they_are_wanted(interval: str, batches: int, epochs: int) -> None:
    writer = Writer(interval)
    for _ in range(2):
        predict(writer, Telling(1), 1, [[2, 0], [1]])
    assert len(writer.batches) == 2 * batches
    assert len(writer.epochs) == 2 * epochs
    if batches:
        assert writer.batches[:2] == [("p00", [2, 0], "b0", 0, 0), ("p01", [1], "b1", 1, 0)]
    if epochs:
        assert writer.epochs[1] == (["p00", "p01"], [[[2, 0], [1]]])


def test_several_loaders_are_kept_apart() -> None:
    writer = Writer("epoch")
    predict(writer, Telling(2), 2, [[0, 1], [2]])
    assert writer.epochs == [([["p00", "p01"], ["p10", "p11"]], [[[0, 1], [2]], [[0, 1], [2]]])]


def test_a_trainer_that_does_not_tell_indices(make_trainer: Any) -> None:
    writer = Writer("batch_and_epoch")
    predict(writer, make_trainer(num_predict_batches=[2]), 1)
    assert writer.batches[0] == ("p00", None, "b0", 0, 0)
    assert writer.epochs == [(["p00", "p01"], [[None, None]])]


def test_intervals_are_three() -> None:
    with pytest.raises(ConfigurationError, match="'batch', 'epoch', 'batch_and_epoch'"):
        Writer("step")
