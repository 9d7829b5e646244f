"""What a prediction writer is told about samples, against the samples themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler

import fulmen_core as L
from fulmen_callbacks import BasePredictionWriter

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


class Squares(Dataset[Tensor]):
    """Each sample tells its own position."""

    def __len__(self) -> int:
        return 11

    def __getitem__(self, index: int) -> Tensor:
        return torch.tensor(index)


class Stream(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        return iter(torch.arange(5))


class Echo(L.LightningModule):
    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        return batch


class Writer(BasePredictionWriter):
    def __init__(self) -> None:
        super().__init__("batch_and_epoch")
        self.batches: list[tuple[list[int], Any]] = []
        self.all: Any = None

    def write_on_batch_end(self, trainer, pl_module, prediction, batch_indices, batch, batch_idx, dataloader_idx):  # type: ignore[no-untyped-def]
        assert trainer.predict_batch_indices == batch_indices
        self.batches.append((prediction.flatten().tolist(), batch_indices))

    def write_on_epoch_end(self, trainer, pl_module, predictions, batch_indices):  # type: ignore[no-untyped-def]
        self.all = batch_indices


def written(loaders: Any, **arguments: Any) -> Writer:
    writer = Writer()
    trainer = L.Trainer(callbacks=[writer], enable_checkpointing=False, **QUIET, **arguments)
    for _ in range(2):  # a second pass does not see what workers had asked for in the first
        writer.batches.clear()
        trainer.predict(Echo(), loaders, return_predictions=False)
    assert trainer.predict_batch_indices is None
    return writer


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 3},
        {"batch_size": 3, "shuffle": True, "drop_last": True},
        {"batch_size": 2, "shuffle": True, "num_workers": 2, "prefetch_factor": 4},
        {"batch_size": 2, "num_workers": 1, "persistent_workers": True},
        {"batch_sampler": BatchSampler(RandomSampler(Squares()), 4, False)},
        {"batch_size": None},
    ],
)
@pytest.mark.parametrize("limit", [1.0, 2])
def test_positions_are_those_of_the_batch(options: dict[str, Any], limit: float) -> None:
    loader = DataLoader(Squares(), **options)
    writer = written(loader, limit_predict_batches=limit)
    assert len(writer.batches) == min(len(loader), limit if limit == 2 else len(loader))
    assert all(samples == indices for samples, indices in writer.batches)
    assert writer.all == [[indices for _, indices in writer.batches]]


def test_several_loaders_are_told_apart() -> None:
    writer = written([DataLoader(Squares(), batch_size=6, shuffle=True), [torch.zeros(2)], DataLoader(Squares())])
    assert [len(indices) for indices in writer.all] == [2, 1, 11]
    assert writer.all[1] == [None]
    assert all(samples == indices for samples, indices in writer.batches if indices is not None)


def test_streams_have_no_positions() -> None:
    assert [indices for _, indices in written(DataLoader(Stream(), batch_size=2)).batches] == [None, None, None]


def test_nothing_is_recorded_that_nobody_reads() -> None:
    seen = []

    class Curious(Echo):
        def on_predict_batch_end(self, *args: Any) -> None:
            seen.append(self.trainer.predict_batch_indices)

    L.Trainer(enable_checkpointing=False, **QUIET).predict(Curious(), DataLoader(Squares(), batch_size=6))
    assert seen == [None, None]
