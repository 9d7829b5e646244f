"""Reading evaluation data: which loaders, how many batches, and what is drawn in a resumed run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from fulmen_core.data import CombinedLoader, EvaluationData, Sharding
from fulmen_interfaces import ConfigurationError, DataError, World


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(3))


def read(data: EvaluationData, **options: Any) -> list[tuple[int, list[Any]]]:
    return [(number, list(batches)) for number, _, batches in data.passes(**options)]


@pytest.mark.parametrize(
    "loaders",
    [
        [range(2), range(3)],
        {"a": range(2), "b": range(3)},
        (range(2), {"b": range(3)}),
        CombinedLoader([range(2), range(3)], "sequential"),
    ],
)
def test_reads_one_loader_after_the_other(loaders: Any) -> None:
    data = EvaluationData(loaders)
    assert data.num_batches == [2, 3]
    assert read(data) == read(data) == [(0, [0, 1]), (1, [0, 1, 2])]
    assert [loader for _, loader, _ in data] == [range(2), range(3)]


def test_one_loader_is_one() -> None:
    assert read(EvaluationData(range(2))) == [(0, [0, 1])]
    batches = [torch.ones(2), torch.ones(1)]
    assert read(EvaluationData(batches)) == [(0, batches)]
    assert EvaluationData(DataLoader(Stream())).num_batches == [float("inf")]
    assert read(EvaluationData(DataLoader(Stream()))) == [(0, [0, 1, 2])]


def test_no_loaders_are_none() -> None:
    assert EvaluationData([]).num_batches == []
    assert read(EvaluationData([])) == []
    assert read(EvaluationData([[], range(1)])) == [(1, [0])]


def test_loaders_read_together_are_one() -> None:
    data = EvaluationData(CombinedLoader([range(2), range(3)], "max_size"))
    assert data.num_batches == [3]
    assert read(data) == [(0, [[0, 0], [1, 1], [None, 2]])]


def test_limits() -> None:
    loaders = [range(4), DataLoader(Stream()), range(1)]
    data = EvaluationData(loaders, limit=2)
    assert data.num_batches == [2, 2, 1]
    assert read(data) == [(0, [0, 1]), (1, [0, 1]), (2, [0])]
    assert read(data, at_most=1) == [(0, [0]), (1, [0]), (2, [0])]
    assert read(data, at_most=0) == []
    assert EvaluationData([range(4), range(2)], limit=0.5).num_batches == [2, 1]
    with pytest.raises(ConfigurationError, match="limit_test_batches"):
        EvaluationData(DataLoader(Stream()), limit=0.5, argument="limit_test_batches")
    combined = CombinedLoader([range(4), range(3)], "sequential")
    combined.limits = [1, float("inf")]
    assert read(EvaluationData(combined, limit=2)) == [(0, [0]), (1, [0, 1])]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.34, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("count", [5, 6, 7])
def test_ranks_read_a_share_as_one_process_would(count: int, size: int, share: float) -> None:
    def read_by(ranks: int) -> list[tuple[int, str]]:
        loaders = [
            DataLoader(range(count), batch_size=1),  # type: ignore[arg-type]
            CombinedLoader([DataLoader(range(count)), DataLoader(range(count + 1))], "max_size"),  # type: ignore[arg-type]
        ]
        shardings = [Sharding(World(rank, ranks), 0) for rank in range(ranks)]
        every = [read(EvaluationData(one.for_evaluation(loaders), limit=share)) for one in shardings]
        return sorted((number, str(batch)) for rank in every for number, batches in rank for batch in batches)

    assert read_by(size) == read_by(1)
    assert bool(read_by(1)) == (share > 0)


def test_a_share_that_is_no_batch_is_refused_on_every_rank() -> None:
    loader = DataLoader(range(9), batch_size=1)  # type: ignore[arg-type]
    for rank in range(2):
        with pytest.raises(ConfigurationError, match=r"Give at least 0\.112"):
            EvaluationData(Sharding(World(rank, 2), 0).for_evaluation(loader), limit=0.1)


def test_a_limit_leaves_the_rest_unread() -> None:
    asked: list[int] = []

    class Asked:
        def __len__(self) -> int:
            return 5

        def __iter__(self) -> Iterator[int]:
            for number in range(5):
                asked.append(number)
                yield number

    assert read(EvaluationData(Asked(), limit=2)) == [(0, [0, 1])]
    assert asked == [0, 1]


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(DataError, match="predict_dataloader"):
        EvaluationData([range(2), 3.5, range(1)], hook="predict_dataloader")


def test_samplers_are_told_the_epoch() -> None:
    epochs: list[int] = []

    class Told(Stream):
        def set_epoch(self, epoch: int) -> None:
            epochs.append(epoch)

    data = EvaluationData([DataLoader(Told()), DataLoader(Told())])
    read(data, epoch=3)
    read(data, epoch=4)
    assert epochs == [3, 3, 4, 4]


def persistent() -> DataLoader[Any]:
    return DataLoader(range(4), batch_size=2, num_workers=1, persistent_workers=True)  # type: ignore[arg-type]


def shuffled() -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(3)
    return DataLoader(range(6), batch_size=2, shuffle=True, generator=generator)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["sequential", "max_size"])
def test_later_passes_draw_the_same_in_a_resumed_run(mode: str) -> None:
    def evaluate(data: EvaluationData) -> list[Any]:
        seen = [(number, [str(batch) for batch in batches]) for number, _, batches in data]
        return [*seen, torch.rand(1).item()]

    torch.manual_seed(0)
    data = EvaluationData(CombinedLoader([persistent(), shuffled()], mode))
    evaluate(data)
    state, random = data.state_dict(), torch.get_rng_state()
    expected = [evaluate(data), evaluate(data)]
    torch.manual_seed(9)
    again = EvaluationData(CombinedLoader([persistent(), shuffled()], mode))
    again.load_state_dict(state)
    torch.set_rng_state(random)
    assert [evaluate(again), evaluate(again)] == expected
    assert again.state_dict()["workers"] == state["workers"]


def test_the_state_of_other_loaders_is_left_out() -> None:
    data = EvaluationData([shuffled()])
    data.load_state_dict(EvaluationData([range(1), range(2)]).state_dict())
    assert read(data)
