"""Worker processes: stopping behind every batch, and reading as a plain loop does."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Sampler,
)

from fulmen_core.data import CombinedLoader, TrainingCursor

Check = Callable[..., None]


class Numbers(Dataset[int]):
    """The numbers from 0, and which of them were read."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        self.read.append(index)
        return index


class Augmented(Numbers):
    """Changes its numbers with draws from all global generators."""

    def __getitem__(self, index: int) -> Any:
        noise = torch.rand(1).item() + random.random() + numpy.random.rand()
        return torch.tensor([index, noise], dtype=torch.float64)


class OwnNoise(Numbers):
    """Changes its numbers with draws from generators of its own."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.rng = numpy.random.default_rng(5)
        self.legacy = numpy.random.RandomState(6)
        self.parts = [random.Random(7), {"torch": torch.Generator().manual_seed(8)}]

    def __getitem__(self, index: int) -> Any:
        generator: Any = self.parts[1]["torch"]  # type: ignore[index]
        mine: Any = self.parts[0]
        values = [
            index,
            self.rng.random(),
            self.legacy.randn(),
            mine.gauss(0, 1),
            torch.rand(1, generator=generator).item(),
        ]
        return torch.tensor(values, dtype=torch.float64)


class EagerSampler(Sampler[int]):
    """Draws its order when the iterator is made."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(self.count).tolist())


class Buckets(Sampler[list[int]]):
    """A batch sampler that shuffles bucket after bucket with its own generator."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.rng = random.Random(3)

    def __len__(self) -> int:
        return self.count // 2

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, self.count, 4):
            bucket = list(range(start, start + 4))
            self.rng.shuffle(bucket)
            yield bucket[:2]
            yield bucket[2:]


class EpochSampler(Sampler[int]):
    """Knows the epoch only because it is told."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return iter([(index + self.epoch) % self.count for index in range(self.count)])


class Stream(IterableDataset[Any]):
    """A stream without a length, split over workers, that adds noise."""

    def __init__(self, count: int, noise: bool = True) -> None:
        self.count = count
        self.noise = noise

    def __iter__(self) -> Iterator[Any]:
        info = torch.utils.data.get_worker_info()
        step = 1 if info is None else info.num_workers
        for number in range(0 if info is None else info.id, self.count, step):
            yield torch.tensor(
                [number, torch.rand(1).item() + random.random() if self.noise else 0], dtype=torch.float64
            )


class SizedStream(Stream):
    def __len__(self) -> int:
        return self.count


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Traced(Dataset[int]):
    """Writes down in a file what is read, also by workers."""

    def __init__(self, path: str, count: int) -> None:
        self.path = path
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        with open(self.path, "a") as file:
            file.write(f"{index}\n")
        return index


def noisy_collate(samples: list[int]) -> Any:
    return torch.tensor(samples), torch.rand(1)


class CountingSampler(Sampler[int]):
    """Gives another order every time, by how often it was asked: also to who only tries what reading draws."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.times = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        self.times += 1
        return iter(sorted(range(self.count), key=lambda number: (number * self.times) % (self.count + 2)))


WORKERS: dict[str, Callable[[], Any]] = {
    "counting sampler": lambda: DataLoader(Augmented(5), batch_size=2, sampler=CountingSampler(5), num_workers=2),
    "shuffled": lambda: DataLoader(Numbers(7), batch_size=2, shuffle=True, num_workers=2),
    "own generator": lambda: DataLoader(Numbers(6), batch_size=2, shuffle=True, num_workers=2, generator=generator(2)),
    "augmented": lambda: DataLoader(Augmented(7), batch_size=2, shuffle=True, num_workers=2),
    "own noise": lambda: DataLoader(OwnNoise(5), batch_size=2, shuffle=True, num_workers=2),
    "noisy collate": lambda: DataLoader(Numbers(5), batch_size=2, num_workers=2, collate_fn=noisy_collate),
    "eager sampler": lambda: DataLoader(Numbers(5), batch_size=2, sampler=EagerSampler(5), num_workers=2),
    "batch sampler": lambda: DataLoader(Numbers(8), batch_sampler=Buckets(8), num_workers=1, prefetch_factor=3),
    "no batches": lambda: DataLoader(Numbers(4), batch_size=None, shuffle=True, num_workers=2),
    "stream": lambda: DataLoader(Stream(7), batch_size=2, num_workers=2),
    "sized stream": lambda: DataLoader(SizedStream(7), batch_size=2, num_workers=2),
}


def persistent(dataset: Dataset[Any], **options: Any) -> DataLoader[Any]:
    return DataLoader(dataset, batch_size=2, num_workers=2, persistent_workers=True, **options)


PERSISTENT: dict[str, Callable[[], Any]] = {
    "shuffled": lambda: persistent(Numbers(7), shuffle=True),
    "own generator": lambda: persistent(Numbers(6), shuffle=True, generator=generator(2)),
    "eager sampler": lambda: persistent(Numbers(5), sampler=EagerSampler(5)),
    "eager sampler, no batches": lambda: DataLoader(
        Numbers(4), batch_size=None, sampler=EagerSampler(4), num_workers=2, persistent_workers=True
    ),
    "told the epoch": lambda: persistent(Numbers(5), sampler=EpochSampler(5)),
    "stream": lambda: persistent(Stream(7, noise=False)),
}


@pytest.mark.parametrize("name", WORKERS)
def test_goes_on_with_workers(name: str, check_every_stop: Check) -> None:
    check_every_stop(WORKERS[name], epochs=2)


@pytest.mark.parametrize("name", PERSISTENT)
def test_goes_on_with_persistent_workers(name: str, check_every_stop: Check) -> None:
    check_every_stop(PERSISTENT[name], epochs=3)


def test_goes_on_with_workers_in_epochs_cut_short(check_every_stop: Check) -> None:
    check_every_stop(WORKERS["augmented"], epochs=2, limit=2)
    check_every_stop(PERSISTENT["shuffled"], epochs=3, limit=2)


def test_goes_on_with_persistent_workers_that_draw_in_the_first_epoch(check_every_stop: Check) -> None:
    check_every_stop(lambda: persistent(Augmented(7), shuffle=True), epochs=1)


def test_says_that_persistent_workers_draw() -> None:
    cursor = TrainingCursor(persistent(Augmented(4)))
    for epoch in range(2):
        batches = cursor.epoch(epoch)
        next(batches)
    later = TrainingCursor(persistent(Augmented(4)))
    later.load_state_dict(cursor.state_dict())
    with pytest.warns(UserWarning, match="persistent_workers=False"):
        later.epoch(1)
    between = TrainingCursor(persistent(Augmented(4)))
    between.load_state_dict({**cursor.state_dict(), "open": False})
    with pytest.warns(UserWarning, match="persistent_workers=False"):
        between.epoch(2)


@pytest.mark.parametrize(
    ("replay_workers", "read"), [(None, [2, 3, 2, 3, 4]), (False, [2, 3, 4]), (True, [0, 1, 2, 3, 4])]
)
def test_reads_only_what_is_needed_in_workers(tmp_path: Path, replay_workers: bool | None, read: list[int]) -> None:
    cursor = TrainingCursor(DataLoader(Numbers(5), batch_size=2))
    next(cursor.epoch(0))
    path = tmp_path / "read"
    again = TrainingCursor(DataLoader(Traced(str(path), 5), batch_size=2, num_workers=1), replay_workers=replay_workers)
    again.load_state_dict(cursor.state_dict())
    assert [batch.tolist() for batch in again.epoch(0)] == [[2, 3], [4]]
    assert [int(line) for line in path.read_text().split()] == read  # one batch is tried where nothing is said


def test_goes_on_with_several_loaders_with_workers(check_every_stop: Check) -> None:
    def make() -> CombinedLoader:
        return CombinedLoader([PERSISTENT["shuffled"](), DataLoader(Augmented(3), num_workers=1)], "max_size_cycle")

    check_every_stop(make, epochs=2)


@pytest.mark.parametrize("name", ["shuffled", "own generator", "augmented", "eager sampler"])
def test_reads_with_workers_as_a_plain_loop_does(name: str, check_like_plain_loop: Check) -> None:
    check_like_plain_loop(WORKERS[name], epochs=2)


def test_reads_with_persistent_workers_as_a_plain_loop_does(check_like_plain_loop: Check) -> None:
    check_like_plain_loop(PERSISTENT["shuffled"])
