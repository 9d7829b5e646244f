from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    Sampler,
    SequentialSampler,
    WeightedRandomSampler,
)

from fulmen_core.data import CombinedLoader, Sharding, TrainingCursor, is_dealt, set_epoch
from fulmen_interfaces import World


def parts(loader: Any, size: int, *, even: bool, seed: int = 5) -> list[Any]:
    shardings = [Sharding(World(rank, size), seed) for rank in range(size)]
    return [one.for_training(loader) if even else one.for_evaluation(loader) for one in shardings]


def numbers(loader: Any) -> list[int]:
    return [number for batch in loader for number in batch.tolist()]


@pytest.mark.parametrize("count", [1, 2, 5, 12])
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_ranks_share_the_samples(count: int, size: int, shuffle: bool) -> None:
    loader = DataLoader(range(count), batch_size=2, shuffle=shuffle)  # type: ignore[arg-type]
    training = parts(loader, size, even=True)
    assert len({len(list(part)) for part in training}) == 1
    assert {number for part in parts(loader, size, even=True) for number in numbers(part)} == set(range(count))
    evaluation = parts(loader, size, even=False)
    dealt = [list(range(math.ceil(count / 2)))[rank::size] for rank in range(size)]
    assert [len(part) for part in evaluation] == [len(batches) for batches in dealt]
    assert [is_dealt(part) for part in (loader, *evaluation)] == [False, *[True] * size]
    if not shuffle:  # in the batches of one process
        whole = [batch.tolist() for batch in loader]
        found = [[batch.tolist() for batch in part] for part in evaluation]
        assert found == [[whole[batch] for batch in batches] for batches in dealt]
    assert sorted(number for part in evaluation for number in numbers(part)) == list(range(count))


def test_random_choices_agree_although_the_ranks_drew_differently() -> None:
    loader = DataLoader(range(40), sampler=WeightedRandomSampler([1.0] * 40, 40))  # type: ignore[arg-type]
    first, second = parts(loader, 2, even=True)
    torch.manual_seed(1)
    ours = [numbers(first) for _ in range(2)]
    random_state = torch.get_rng_state()
    torch.manual_seed(2)
    (again,) = parts(loader, 1, even=True)
    whole = [numbers(again) for _ in range(2)]
    torch.manual_seed(3)
    theirs = [numbers(second) for _ in range(2)]
    for one, other, both in zip(ours, theirs, whole, strict=True):
        assert [number for pair in zip(one, other, strict=True) for number in pair] == both
    assert whole[0] != whole[1]
    torch.manual_seed(1)
    plain = DataLoader(range(40))  # type: ignore[arg-type]
    for _ in range(2):  # a loader draws one number for its workers; choosing draws nothing beside
        list(plain)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_every_loader_is_shuffled_in_an_order_of_its_own_and_anew_when_it_is_made_anew() -> None:
    """Two loaders read together must not pair the same samples for ever, nor may all epochs be alike."""

    def order(epoch: int) -> list[list[int]]:
        pair = [DataLoader(range(20), shuffle=True) for _ in range(2)]  # type: ignore[arg-type]
        ranks = [Sharding(World(rank, 2), 5).for_training(pair, epoch=epoch) for rank in range(2)]
        both = [[numbers(rank[number]) for rank in ranks] for number in range(2)]
        assert all(sorted(one + other) == list(range(20)) for one, other in both)
        return [one for one, _ in both]

    orders = [*order(0), *order(1)]
    assert len({tuple(one) for one in orders}) == 4
    assert order(1) == orders[2:]


def test_the_users_loader_stays_as_it_is() -> None:
    loader = DataLoader(range(6), batch_size=2, shuffle=True)  # type: ignore[arg-type]
    before = dict(vars(loader))
    list(parts(loader, 2, even=True)[0])
    assert vars(loader) == before


def test_a_batch_sampler_of_the_users_own_is_dealt_out_by_batches() -> None:
    class Pairs(BatchSampler):
        def __iter__(self) -> Iterator[list[int]]:
            return iter([[0, 5], [1, 4], [2, 3]])

        def __len__(self) -> int:
            return 3

    loader = DataLoader(range(6), batch_sampler=Pairs(range(6), 2, False))  # type: ignore[arg-type]
    assert [[batch.tolist() for batch in part] for part in parts(loader, 2, even=True)] == [
        [[0, 5], [2, 3]],
        [[1, 4], [0, 5]],
    ]


def test_a_loader_that_reads_in_its_own_way_is_left_alone_with_a_warning() -> None:
    class Backwards(DataLoader[int]):
        def __iter__(self) -> Any:
            return reversed(list(super().__iter__()))

    loader = Backwards(range(4), batch_size=2)  # type: ignore[arg-type]
    for even in (True, False):
        with pytest.warns(UserWarning, match="Backwards has its own __iter__, so every rank reads all"):
            assert parts(loader, 2, even=even) == [loader, loader]


def test_a_loader_that_only_adds_something_is_parted() -> None:
    class Named(DataLoader[int]):
        def __init__(self, name: str, **options: Any) -> None:
            super().__init__(range(4), **options)  # type: ignore[arg-type]
            self.name = name

    assert [numbers(part) for part in parts(Named("four", batch_size=1), 2, even=True)] == [[0, 2], [1, 3]]


def test_data_that_is_parted_already_is_left_alone() -> None:
    class Stream(IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            return iter(range(3))

    data = range(6)
    for loader in (
        DataLoader(data, sampler=DistributedSampler(data, num_replicas=2, rank=0)),  # type: ignore[arg-type]
        DataLoader(Stream()),
        [torch.zeros(1)],
    ):
        (part,) = parts(loader, 1, even=True)
        assert part is loader


def test_an_iterable_data_set_is_told_its_rank_where_it_asks_for_it() -> None:
    class Stream(IterableDataset[int]):
        rank, world_size = 0, 1

        def set_rank(self, rank: int, world_size: int) -> None:
            self.rank, self.world_size = rank, world_size

        def __iter__(self) -> Iterator[int]:
            return iter(range(self.rank, 7, self.world_size))

    for even in (True, False):
        seen = []
        for rank in range(3):
            sharding = Sharding(World(rank, 3), 5)
            loader = DataLoader(Stream(), batch_size=2)
            part = sharding.for_training(loader) if even else sharding.for_evaluation(loader)
            assert part is loader
            seen += numbers(part)
        assert sorted(seen) == list(range(7))


@pytest.mark.parametrize("even", [True, False])
def test_samplers_are_told_the_epoch(even: bool) -> None:
    class Told(SequentialSampler):
        epoch = -1

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

    loader = DataLoader(range(6), batch_size=2, sampler=(sampler := Told(range(6))))  # type: ignore[arg-type]
    set_epoch(parts(loader, 2, even=even)[1], 3)
    assert sampler.epoch == 3


def test_loaders_in_a_collection_are_parted_each() -> None:
    combined = CombinedLoader({"a": DataLoader(range(4)), "b": DataLoader(range(2))}, "max_size")  # type: ignore[arg-type]
    first, second = parts(combined, 2, even=False)
    assert [batch["a"].item() for batch, *_ in first] == [0, 2]
    assert [batch["b"].item() for batch, *_ in second if batch["b"] is not None] == [1]
    (among_others,) = parts([combined], 2, even=False)[0]
    assert [batch["a"].item() for batch, *_ in among_others] == [0, 2]


class Rotating(Sampler[int]):
    """Begins further on every time, which it remembers without a generator."""

    def __init__(self) -> None:
        self.times = 0

    def __len__(self) -> int:
        return 20

    def __iter__(self) -> Iterator[int]:
        self.times += 1
        return iter([(number + 3 * self.times) % 20 for number in range(20)])


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": Rotating}], ids=["shuffled", "remembering"])
def test_an_epoch_goes_on_in_the_same_order(options: dict[str, Any]) -> None:
    def cursor(seed: int) -> TrainingCursor:
        made = {name: value() if isinstance(value, type) else value for name, value in options.items()}
        loader = DataLoader(range(20), batch_size=2, **made)  # type: ignore[arg-type]
        return TrainingCursor(Sharding(World(1, 2), seed).for_training(loader))

    whole = cursor(1)
    numbers(whole.epoch(0))
    batches = whole.epoch(1)
    next(batches)
    state = whole.state_dict()
    random.seed(9)
    resumed = cursor(2)
    resumed.load_state_dict(state)
    assert numbers(resumed.epoch(1)) == numbers(batches)
    assert numbers(resumed.epoch(2)) == numbers(whole.epoch(2))
