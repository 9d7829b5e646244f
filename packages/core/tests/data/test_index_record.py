"""Which samples a batch is made of, told while others read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from fulmen_core.data import EvaluationData, IndexRecord, Sharding
from fulmen_interfaces import World


class Positions(Dataset[torch.Tensor]):
    """Each sample tells its own position."""

    def __len__(self) -> int:
        return 11

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor(index)


@pytest.mark.parametrize("options", [{"batch_size": 2}, {"batch_size": 2, "shuffle": True}, {"batch_size": None}])
def test_each_rank_is_told_positions_in_the_whole_data_set(options: dict[str, Any]) -> None:
    told: list[int] = []
    for rank in range(3):
        loaders = Sharding(World(rank=rank, size=3), 5).for_evaluation(DataLoader(Positions(), **options))
        data = EvaluationData(loaders, indices=(record := IndexRecord()))
        for number, _, batches in data:
            for batch in batches:
                record.advance(number)
                assert record.present == batch.flatten().tolist()
                told += record.present
    assert sorted(told) == list(range(11))


def test_batches_that_are_read_ahead_wait_for_their_turn() -> None:
    data = EvaluationData(DataLoader(Positions(), batch_size=4), indices=(record := IndexRecord()))
    ((number, _, batches),) = data
    ahead = list(batches)
    for batch in ahead:
        record.advance(number)
        assert record.present == batch.tolist()
    record.clear()
    assert record.present is None


def test_the_users_loader_is_not_touched_and_draws_the_same() -> None:
    def drawn(record: IndexRecord | None) -> list[Any]:
        loader = DataLoader(Positions(), batch_size=4, shuffle=True)
        before = dict(vars(loader))
        torch.manual_seed(3)
        ((_, _, batches),) = EvaluationData(loader, indices=record)
        read = [batch.tolist() for batch in batches]
        assert dict(vars(loader)) == before
        return [*read, torch.rand(()).item()]

    assert drawn(IndexRecord()) == drawn(None)
