"""Training data of different lengths on several ranks: threads, which really exchange what they say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from fulmen_core.data import RankedCursor, Ranks
from fulmen_interfaces import DataError, ReduceOp

T = TypeVar("T")
pytestmark = pytest.mark.filterwarnings("ignore:.*uneven_batches='zero_weight'")  # only one test is about the words


class Meeting:
    """Where the ranks bring their values and take all."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=20)
        self.brought: dict[int, Any] = {}

    def exchange(self, rank: int, value: Any) -> list[Any]:
        self.brought[rank] = value
        self.barrier.wait()
        everything = [self.brought[each] for each in sorted(self.brought)]
        self.barrier.wait()
        return everything


class RankCollectives:
    """The collectives of one rank, which counts them."""

    def __init__(self, meeting: Meeting, rank: int) -> None:
        self.meeting = meeting
        self.rank = rank
        self.reductions = 0

    def all_reduce(self, tensor: torch.Tensor, op: ReduceOp = ReduceOp.MEAN, *, group: Any = None) -> torch.Tensor:
        assert op is ReduceOp.SUM
        self.reductions += 1
        return torch.stack(self.meeting.exchange(self.rank, tensor)).sum(0)

    def all_gather(self, tensor: torch.Tensor, *, group: Any = None, sync_grads: bool = False) -> torch.Tensor:
        return torch.stack(self.meeting.exchange(self.rank, tensor))

    def gather_objects(self, value: T) -> list[T]:
        return self.meeting.exchange(self.rank, value)

    def broadcast(self, value: T, src: int = 0) -> T:
        return self.meeting.exchange(self.rank, value)[src]

    def barrier(self, name: str = "") -> None:
        self.meeting.barrier.wait()


class Stream(IterableDataset[int]):
    """Numbers of which nobody knows how many there are."""

    def __init__(self, rank: int, count: int) -> None:
        self.numbers = [100 * rank + number for number in range(count)]

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)


def known(rank: int, count: int) -> DataLoader[int]:
    return DataLoader(Stream(rank, count).numbers, batch_size=1)  # type: ignore[arg-type]


def unknown(rank: int, count: int) -> DataLoader[int]:
    return DataLoader(Stream(rank, count), batch_size=1)


def on_ranks(size: int, act: Callable[[RankCollectives], T]) -> list[T]:
    meeting = Meeting(size)
    with ThreadPoolExecutor(size) as pool:
        tasks = [pool.submit(act, RankCollectives(meeting, rank)) for rank in range(size)]
        return [task.result() for task in tasks]


def read(
    kinds: tuple[Callable[[int, int], Any], ...], counts: tuple[int, ...], uneven: Any, epochs: int = 2
) -> list[dict[str, Any]]:
    def act(collectives: RankCollectives) -> dict[str, Any]:
        rank = collectives.rank
        ranks = Ranks(collectives, uneven=uneven)
        cursor = RankedCursor(kinds[rank](rank, counts[rank]), ranks)
        batches, asked = [], []
        for epoch in range(epochs):
            given = [(batch.item(), ranks.weight, cursor.is_last) for batch in cursor.epoch(epoch)]
            batches.append(given)
            asked.append(collectives.reductions)
            assert ranks.weight == 1.0
        assert all(epoch == batches[0] for epoch in batches)
        return {"numbers": [one[0] for one in batches[0]], "weights": [one[1] for one in batches[0]],
                "last": [one[2] for one in batches[0]], "length": cursor.num_batches, "asked": asked[0]}  # fmt: skip

    return on_ranks(len(counts), act)


@pytest.mark.parametrize("kind", [known, unknown])
@pytest.mark.parametrize("counts", [(4, 6), (6, 4), (7, 7), (1, 3)])
def test_an_epoch_stops_with_the_first_rank_that_has_no_more(kind: Any, counts: tuple[int, int]) -> None:
    found = read((kind, kind), counts, "stop")
    least = min(counts)
    for rank, one in enumerate(found):
        assert one["numbers"] == [100 * rank + number for number in range(least)]
        assert one["weights"] == [1.0] * least
        assert one["last"] == [False] * (least - 1) + [True]
        assert one["length"] == (least if kind is known else float("inf"))
        assert one["asked"] == (0 if kind is known else least)  # what all know is not asked for


@pytest.mark.parametrize("kinds", [(known, known), (unknown, unknown), (known, unknown)])
@pytest.mark.parametrize("counts", [(4, 6), (6, 4), (7, 7), (1, 3)])
def test_ranks_without_data_go_on_with_no_weight(kinds: Any, counts: tuple[int, int]) -> None:
    found = read(kinds, counts, "zero_weight")
    most = max(counts)
    for rank, one in enumerate(found):
        own = counts[rank]
        assert one["numbers"] == [100 * rank + min(number, own - 1) for number in range(most)]
        active = [sum(count > number for count in counts) for number in range(most)]
        assert one["weights"] == [2 / active[number] if number < own else 0.0 for number in range(most)]
        assert one["last"] == [False] * (most - 1) + [True]
        assert one["asked"] == 0 or kinds != (known, known)


def test_a_rank_without_any_data_repeats_a_batch_of_another() -> None:
    for kind in (known, unknown):
        _, second = read((kind, kind), (3, 0), "zero_weight")
        assert second["numbers"] == [0, 0, 0]
        assert second["weights"] == [0.0] * 3


@pytest.mark.parametrize("uneven", ["stop", "zero_weight"])
def test_an_epoch_without_a_batch_is_an_error_on_every_rank(uneven: Any) -> None:
    counts = (3, 0) if uneven == "stop" else (0, 0)

    def act(collectives: RankCollectives) -> str:
        cursor = RankedCursor(unknown(collectives.rank, counts[collectives.rank]), Ranks(collectives, uneven=uneven))
        with pytest.raises(DataError, match="of 2 ranks") as caught:
            list(cursor.epoch(0))
        return str(caught.value)

    first, second = on_ranks(2, act)
    assert first == second
    assert ("zero_weight" in first) == (uneven == "stop")


@pytest.mark.parametrize("uneven", ["stop", "zero_weight"])
@pytest.mark.parametrize("kind", [known, unknown])
def test_an_epoch_goes_on_from_any_batch(kind: Any, uneven: Any) -> None:
    counts = (3, 5, 4)

    def act(collectives: RankCollectives) -> None:
        rank = collectives.rank
        ranks = Ranks(collectives, uneven=uneven)

        def cursor() -> RankedCursor:
            return RankedCursor(kind(rank, counts[rank]), ranks)

        whole, states, seen = cursor(), [], []
        for batch in whole.epoch(0):
            seen.append((batch.item(), ranks.weight, whole.is_last))
            states.append(whole.state_dict())
        for number, state in enumerate(states):
            resumed = cursor()
            resumed.load_state_dict(state)
            rest = [(batch.item(), ranks.weight, resumed.is_last) for batch in resumed.epoch(0)]
            assert rest == seen[number + 1 :], number
            following = [batch.item() for batch in resumed.epoch(1)]
            assert following == [number for number, *_ in seen]

    on_ranks(3, act)


@pytest.mark.parametrize(("kind", "words"), [(known, "The ranks have 2, 3 training"), (unknown, "for 1 of 2 ranks")])
@pytest.mark.filterwarnings("default")
def test_what_is_left_over_is_told(kind: Any, words: str) -> None:
    with pytest.warns(UserWarning, match=words):
        read((kind, kind), (2, 3), "stop")


def test_a_limit_counts_for_every_rank() -> None:
    def act(collectives: RankCollectives) -> int:
        cursor = RankedCursor(unknown(collectives.rank, 9), Ranks(collectives), limit=4)
        return len(list(cursor.epoch(0)))

    assert on_ranks(2, act) == [4, 4]


def test_data_that_gives_less_than_it_promised_ends_the_run() -> None:
    class Boasting:
        def __len__(self) -> int:
            return 5

        def __iter__(self) -> Iterator[torch.Tensor]:
            return iter(torch.zeros(3))

    def act(collectives: RankCollectives) -> None:
        cursor = RankedCursor(Boasting(), Ranks(collectives))
        with pytest.raises(DataError, match="gave 3 batches on this rank, where its length promises 5"):
            list(cursor.epoch(0))

    on_ranks(2, act)


def test_a_batch_that_is_given_again_is_whole() -> None:
    """A step may take things out of the dictionary that it gets."""

    def act(collectives: RankCollectives) -> list[list[str]]:
        data = [{"x": torch.zeros(1)}] * (1 if collectives.rank else 3)
        cursor = RankedCursor(data, Ranks(collectives, uneven="zero_weight"))
        keys = []
        for batch in cursor.epoch(0):
            keys.append(list(batch))
            batch.clear()
        return keys

    assert on_ranks(2, act)[1] == [["x"]] * 3
