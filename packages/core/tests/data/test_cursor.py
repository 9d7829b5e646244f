"""What a training cursor tells, refuses and leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler

from fulmen_core.data import CombinedLoader, DevicePrefetch, TrainingCursor
from fulmen_interfaces import ConfigurationError, DataError


class Counted(Dataset[int]):
    """The numbers from 0, and which of them were read."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        self.read.append(index)
        return index


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(3))


class Told:
    """A sampler, and a data set, that notes the epochs it is told."""

    def __init__(self, count: int = 4) -> None:
        self.count = count
        self.epochs: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.count))

    def __getitem__(self, index: int) -> int:
        return index


class Lying:
    """Gives another number of batches than it says."""

    def __init__(self, says: int, gives: int) -> None:
        self.says = says
        self.gives = gives

    def __len__(self) -> int:
        return self.says

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.gives))


def last_marks(cursor: TrainingCursor, epoch: int = 0) -> list[bool]:
    return [cursor.is_last for _ in cursor.epoch(epoch)]


@pytest.mark.parametrize("loader", [[1, 2, 3], iter([1, 2, 3]), DataLoader(Counted(3)), DataLoader(Stream())])
def test_marks_the_last_batch(loader: Any) -> None:
    cursor = TrainingCursor(loader)
    assert last_marks(cursor) == [False, False, True]
    assert cursor.batches_read == 3


def test_marks_the_last_batch_of_an_epoch_cut_short() -> None:
    cursor = TrainingCursor([1, 2, 3], limit=2)
    assert cursor.num_batches == 2
    assert last_marks(cursor) == [False, True]
    assert last_marks(cursor, 1) == [False, True]


def test_counts_batches() -> None:
    assert TrainingCursor(DataLoader(Counted(7), batch_size=2)).num_batches == 4
    assert TrainingCursor(DataLoader(Counted(7), batch_size=2), limit=0.5).num_batches == 2
    assert TrainingCursor(DataLoader(Stream())).num_batches == float("inf")
    assert TrainingCursor(DataLoader(Stream()), limit=2).num_batches == 2
    assert TrainingCursor(CombinedLoader([[1], [1, 2]], "max_size")).num_batches == 2


def test_a_share_of_a_stream_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="limit_train_batches"):
        TrainingCursor(DataLoader(Stream()), limit=0.5)


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(DataError, match="train_dataloader"):
        TrainingCursor(3)


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_skipped_samples_are_not_read(stop: int) -> None:
    first = TrainingCursor(DataLoader(Counted(8), batch_size=2, shuffle=True))
    batches = first.epoch(0)
    for _ in range(stop):
        next(batches)
    state = first.state_dict()
    left = [index for batch in batches for index in batch.tolist()]
    data = Counted(8)
    loader = DataLoader(data, batch_size=2, shuffle=True)
    again = TrainingCursor(loader)
    again.load_state_dict(state)
    seen = [index for batch in again.epoch(0) for index in batch.tolist()]
    assert data.read == seen == left
    assert len(seen) == 8 - 2 * stop
    assert again.loader is loader


class Named(DataLoader[Any]):
    """Cannot be made again without knowing its arguments."""

    def __init__(self, name: str, data: Dataset[Any]) -> None:
        super().__init__(data, batch_size=2)
        self.name = name


def test_skipped_samples_of_a_subclass_are_not_read() -> None:
    cursor = TrainingCursor(Named("x", Counted(6)))
    next(cursor.epoch(0))
    data = Counted(6)
    again = TrainingCursor(Named("x", data))
    again.load_state_dict(cursor.state_dict())
    assert [batch.tolist() for batch in again.epoch(0)] == [[2, 3], [4, 5]]
    assert data.read == [2, 3, 4, 5]


def test_skipped_samples_of_several_loaders_are_not_read() -> None:
    def make(one: Counted, other: Counted) -> CombinedLoader:
        return CombinedLoader([DataLoader(one), DataLoader(other, batch_size=2)], "max_size_cycle")

    cursor = TrainingCursor(make(Counted(2), Counted(8)))
    batches = cursor.epoch(0)
    for _ in range(3):
        next(batches)
    one, other = Counted(2), Counted(8)
    again = TrainingCursor(make(one, other))
    again.load_state_dict(cursor.state_dict())
    assert [[part.tolist() for part in batch] for batch in again.epoch(0)] == [[[1], [6, 7]]]
    assert (one.read, other.read) == (
        [1, 0],
        [6, 7],
    )  # the first is read once more before the second says that it ended


def test_samplers_and_data_sets_are_told_the_epoch_once() -> None:
    sampler, data = Told(), Told()
    cursor = TrainingCursor(DataLoader(data, sampler=sampler))  # type: ignore[arg-type]
    for epoch in (0, 1):
        assert len(list(cursor.epoch(epoch))) == 4
    assert sampler.epochs == data.epochs == [0, 1]
    again = Told()
    loaded = TrainingCursor(DataLoader(again, batch_size=2))  # type: ignore[arg-type]
    loaded.load_state_dict(cursor.state_dict())
    list(loaded.epoch(2))
    assert again.epochs == [2]


@pytest.mark.parametrize("loader", [[], iter([]), DataLoader(Counted(3), batch_size=4, drop_last=True)])
def test_no_batches_are_an_error(loader: Any) -> None:
    with pytest.raises(DataError, match="`train_dataloader` gave no batch"):
        list(TrainingCursor(loader).epoch(0))


def test_a_generator_that_is_used_up_is_an_error() -> None:
    cursor = TrainingCursor(number for number in range(2))
    assert list(cursor.epoch(0)) == [0, 1]
    with pytest.raises(DataError, match="an earlier epoch used up"):
        list(cursor.epoch(1))


def test_a_limit_of_nothing_is_none() -> None:
    assert list(TrainingCursor([1], limit=0).epoch(0)) == []
    assert list(TrainingCursor(DataLoader(Stream()), limit=0.0).epoch(0)) == []


def test_wrong_lengths_are_told() -> None:
    with pytest.warns(UserWarning, match="gave 2 batches where its length promises 3"):
        assert len(list(TrainingCursor(Lying(3, 2)).epoch(0))) == 2
    with pytest.warns(UserWarning, match="more batches than the 3"):
        assert len(list(TrainingCursor(Lying(3, 4)).epoch(0))) == 3


def test_less_data_than_was_read_is_an_error() -> None:
    cursor = TrainingCursor(DataLoader(Counted(6)))
    batches = cursor.epoch(0)
    for _ in range(4):
        next(batches)
    for loader in (DataLoader(Counted(3)), [1, 2, 3]):
        again = TrainingCursor(loader)
        with pytest.warns(UserWarning, match="had 6 batches"):
            again.load_state_dict(cursor.state_dict())
        with pytest.raises(DataError, match="behind batch 4"):
            again.epoch(0)


def test_other_numbers_of_loaders_are_an_error() -> None:
    one = TrainingCursor([1, 2, 3])
    two = TrainingCursor(CombinedLoader([[1, 2, 3], [1, 2, 3]]))
    for cursor in (one, two):
        next(cursor.epoch(0))
    for cursor, state in ((TrainingCursor([1, 2, 3]), two), (TrainingCursor(two.loader), one)):
        cursor.load_state_dict(state.state_dict())
        with pytest.raises(DataError, match="position in"):
            cursor.epoch(0)


def test_states_of_other_versions_are_refused() -> None:
    with pytest.raises(DataError, match="version 2"):
        TrainingCursor([1]).load_state_dict({"version": 2})


def test_the_state_that_was_loaded_is_the_state_until_the_next_epoch() -> None:
    cursor = TrainingCursor([1, 2, 3])
    next(cursor.epoch(0))
    again = TrainingCursor([1, 2, 3])
    again.load_state_dict(cursor.state_dict())
    third = TrainingCursor([1, 2, 3])
    third.load_state_dict(again.state_dict())
    assert (again.batches_read, again.is_last) == (1, False)
    assert list(third.epoch(0)) == [2, 3]


def test_going_on_with_a_later_epoch_begins_it() -> None:
    cursor = TrainingCursor([1, 2, 3])
    next(cursor.epoch(0))
    again = TrainingCursor([1, 2, 3])
    again.load_state_dict(cursor.state_dict())
    assert list(again.epoch(1)) == [1, 2, 3]


def test_an_epoch_that_was_left_is_gone_on_with_only_if_asked_for() -> None:
    cursor = TrainingCursor([1, 2, 3])
    next(cursor.epoch(0))
    assert list(cursor.epoch(1)) == [1, 2, 3]


def test_loaders_that_another_cursor_reads_next_are_settled() -> None:
    """As after `reload_dataloaders_every_n_epochs`, where the same objects may come again."""

    def make() -> DataLoader[Any]:
        generator = torch.Generator().manual_seed(3)
        return DataLoader(Counted(6), sampler=RandomSampler(range(6), generator=generator), num_workers=0)

    def read(cursor: TrainingCursor) -> tuple[list[Any], torch.Tensor]:
        return [batch.tolist() for batch in cursor.epoch(1)], torch.rand(1)

    torch.manual_seed(0)
    loader = make()
    cursor = TrainingCursor(loader)
    list(cursor.epoch(0))
    state = cursor.state_dict()
    expected = read(TrainingCursor(loader))
    torch.manual_seed(99)
    loader = make()
    again = TrainingCursor(loader)
    again.load_state_dict(state)
    again.settle()
    assert read(TrainingCursor(loader)) == expected


class CopyLog:
    """An accelerator that writes down what it is asked for."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def copy_stream(self, device: torch.device) -> AbstractContextManager[Any]:
        return nullcontext()

    def wait_for_copies(self, device: torch.device) -> None:
        self.log.append("wait")

    def keep_alive(self, tensor: torch.Tensor) -> None:
        self.log.append("keep")


def test_prefetching_keeps_the_position() -> None:
    accelerator = CopyLog()
    device = torch.device("cpu")

    def cursor(data: Counted) -> TrainingCursor:
        moved = DevicePrefetch(lambda batch: batch * 10, accelerator, device)
        return TrainingCursor(DataLoader(data, batch_size=2), prefetch=moved)

    first = cursor(Counted(6))
    batches = first.epoch(0)
    assert next(batches).tolist() == [0, 10]
    assert accelerator.log == ["wait", "keep"]
    data = Counted(6)
    again = cursor(data)
    again.load_state_dict(first.state_dict())
    seen = [(batch.tolist(), again.is_last) for batch in again.epoch(0)]
    assert seen == [([20, 30], False), ([40, 50], True)]
    assert data.read == [2, 3, 4, 5]
