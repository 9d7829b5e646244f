"""The same batches in every epoch, for `overfit_batches`."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from fulmen_core.data import CombinedLoader, hint_workers, in_fixed_order

DATA: Any = range(7)


class Rows:
    """Reads several samples at once, as a table does."""

    def __len__(self) -> int:
        return len(DATA)

    def __getitem__(self, index: list[int]) -> torch.Tensor:
        return torch.tensor([DATA[one] for one in index])


ROWS: Any = Rows()


class OwnBatches(BatchSampler):
    pass


def batches(loader: Any) -> list[Any]:
    return [batch.tolist() for batch in loader]


@pytest.mark.parametrize(
    ("loader", "expected"),
    [
        (DataLoader(DATA, batch_size=3, shuffle=True), [[0, 1, 2], [3, 4, 5], [6]]),
        (DataLoader(DATA, batch_size=3, shuffle=True, drop_last=True), [[0, 1, 2], [3, 4, 5]]),
        (DataLoader(DATA, batch_size=None, shuffle=True), [0, 1, 2, 3, 4, 5, 6]),
        (
            DataLoader(ROWS, batch_size=None, sampler=BatchSampler(RandomSampler(DATA), 3, False)),
            [[0, 1, 2], [3, 4, 5], [6]],
        ),
        (DataLoader(DATA, batch_size=4, shuffle=True, collate_fn=tuple), [(0, 1, 2, 3), (4, 5, 6)]),
    ],
    ids=["shuffled", "last dropped", "no batches", "rows read at once", "collate_fn"],
)
def test_stock_loaders_are_read_in_order(loader: DataLoader[Any], expected: list[Any]) -> None:
    with pytest.warns(UserWarning, match="RandomSampler"):
        ordered = in_fixed_order(loader, "train_dataloader")
    assert [batch.tolist() if hasattr(batch, "tolist") else batch for batch in ordered] == expected
    sampler: Any = loader.sampler
    assert isinstance(getattr(sampler, "sampler", sampler), RandomSampler)


def test_what_is_in_order_stays() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for loader in (DataLoader(DATA), DataLoader(DATA, sampler=SequentialSampler(DATA)), [1, 2], iter([1])):
            assert in_fixed_order(loader, "train_dataloader") is loader


def test_own_batch_samplers_stay_with_a_warning() -> None:
    loader = DataLoader(DATA, batch_sampler=OwnBatches(RandomSampler(DATA), 2, False))
    with pytest.warns(UserWarning, match="OwnBatches of `val_dataloader`"):
        assert in_fixed_order(loader, "val_dataloader") is loader


@pytest.mark.filterwarnings("ignore:overfit_batches")
def test_every_loader_of_several_is_read_in_order() -> None:
    loaders = {"a": DataLoader(DATA, batch_size=4, shuffle=True), "b": [DataLoader(DATA, batch_size=7, shuffle=True)]}
    ordered = in_fixed_order(loaders, "train_dataloader")
    assert batches(ordered["a"]) == [[0, 1, 2, 3], [4, 5, 6]]
    combined = in_fixed_order(CombinedLoader(loaders, "max_size"), "train_dataloader")
    assert combined.mode == "max_size"
    assert batches(combined.iterables["b"][0]) == [list(DATA)]


def test_hints_are_quiet(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    with caplog.at_level(logging.DEBUG, "fulmen"):
        hint_workers(DataLoader(DATA, num_workers=1), "val_dataloader")
        assert caplog.records == []
        hint_workers(DataLoader(DATA), "val_dataloader")
    assert [record.levelno for record in caplog.records] == [logging.DEBUG]
    assert "val_dataloader" in caplog.text
