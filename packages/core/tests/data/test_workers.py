"""Random numbers in worker processes: other ones on every rank where that was asked for, and left alone elsewhere."""

from __future__ import annotations

import random
from typing import Any

import numpy
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from fulmen_core.data import CombinedLoader, seed_workers


class Draws(Dataset[torch.Tensor]):
    """Samples are the numbers that each library draws while they are read."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        drawn = [random.random(), float(torch.rand((), dtype=torch.float64)), float(numpy.random.rand())]
        return torch.tensor(drawn, dtype=torch.float64)


def loader(**options: Any) -> DataLoader[torch.Tensor]:
    return DataLoader(Draws(), generator=torch.Generator().manual_seed(4), **{"num_workers": 2, **options})


def two_epochs(rank: int) -> torch.Tensor:
    ours = loader()
    seed_workers(ours, rank)
    return torch.stack([torch.cat(list(ours)) for _ in range(2)])


@pytest.fixture(autouse=True)
def _asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULMEN_SEED_WORKERS", "1")  # as seed_everything(..., workers=True) leaves it


def test_numbers_differ_by_worker_rank_and_epoch_and_repeat_themselves() -> None:
    first, again, other_rank = (two_epochs(rank) for rank in (0, 0, 1))
    assert torch.equal(first, again)
    numbers = torch.cat([first, other_rank]).flatten(0, 1)
    for library in range(numbers.shape[-1]):
        assert numbers[:, library].unique().numel() == len(numbers)


def test_every_loader_of_a_collection_is_reached() -> None:
    several, combined = {"a": [loader()], "b": loader()}, CombinedLoader([loader(), loader()])
    for loaders, leaves in ((several, [several["a"][0], several["b"]]), (combined, combined.flattened)):
        seed_workers(loaders, 0)
        assert all(one.worker_init_fn is not None for one in leaves)


def test_a_loader_with_a_function_of_its_own_or_without_workers_is_left_alone() -> None:
    own, none = loader(worker_init_fn=print), loader(num_workers=0)
    seed_workers([own, none], 0)
    assert own.worker_init_fn is print
    assert none.worker_init_fn is None


def test_nothing_happens_where_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULMEN_SEED_WORKERS", "0")
    ours = loader()
    seed_workers(ours, 0)
    assert ours.worker_init_fn is None
