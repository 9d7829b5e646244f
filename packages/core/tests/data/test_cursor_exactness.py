"""Stop behind every batch, go on in a state like that of a new process, and compare with the run that never stopped."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy
import pytest
import torch
from fulmen_core.data import CombinedLoader, TrainingCursor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)


def seed_all(seed: int) -> None:
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


def draws() -> tuple[Any, ...]:
    """Draw from every global generator, an odd number of normal deviates included: they come in pairs."""
    return random.random(), random.gauss(0, 1), numpy.random.rand(), numpy.random.randn(), torch.rand(3).tolist(), torch.randn(1).item()


def plain(batch: Any) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch.tolist()
    if isinstance(batch, dict):
        return {name: plain(item) for name, item in batch.items()}
    if isinstance(batch, (list, tuple)):
        return [plain(item) for item in batch]
    return batch


def stored(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state as it comes out of a checkpoint."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert isinstance(loaded, dict)
    return loaded


@dataclass
class Run:
    """All that a run saw: one entry per batch and epoch end."""

    seen: list[Any] = field(default_factory=list)
    states: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """For every stop: how many entries were there, and the state."""
    last: Any = None


def train(cursor: TrainingCursor, first: int, epochs: int, *, save: bool = False) -> Run:
    run = Run()
    for epoch in range(first, epochs):
        for batch in cursor.epoch(epoch):
            run.seen.append((epoch, plain(batch), cursor.is_last, cursor.batches_read, draws()))
            if save:
                run.states.append((len(run.seen), stored(cursor.state_dict())))
        run.seen.append((epoch, "end", draws()))
        if save:
            run.states.append((len(run.seen), stored(cursor.state_dict())))
    run.last = draws()
    return run


def next_epoch(state: dict[str, Any]) -> int:
    """Return the epoch to go on with: at an epoch's end, the next."""
    return int(state["epoch"]) + (not state["open"])


def check_every_stop(make: Callable[[], Any], *, epochs: int = 3, every: int = 1, **options: Any) -> None:
    seed_all(1)
    unbroken = train(TrainingCursor(make(), **options), 0, epochs)
    seed_all(1)
    watched = train(TrainingCursor(make(), **options), 0, epochs, save=True)
    assert watched.seen == unbroken.seen, "taking the state changed the run"
    assert len(unbroken.seen) > epochs
    for number, (count, state) in enumerate(watched.states[:-1:every]):  # behind the last epoch nothing is read
        seed_all(1000 + number)
        cursor = TrainingCursor(make(), **options)
        cursor.load_state_dict(state)
        resumed = train(cursor, next_epoch(state), epochs, save=number == 1)
        assert resumed.seen == unbroken.seen[count:], f"stopped behind entry {count}"
        assert resumed.last == unbroken.last
        if number == 1:  # and once more, stopped again after going on
            check_second_stop(make, resumed, unbroken, epochs, options)


def check_second_stop(make: Callable[[], Any], resumed: Run, unbroken: Run, epochs: int, options: Any) -> None:
    for count, state in resumed.states[: -1 : max(1, len(resumed.states) // 3)]:
        seed_all(77)
        cursor = TrainingCursor(make(), **options)
        cursor.load_state_dict(state)
        again = train(cursor, next_epoch(state), epochs)
        assert again.seen == resumed.seen[count:]
        assert again.last == unbroken.last


def plain_loop(loader: Any, epochs: int, stop: int | None = None) -> list[Any]:
    seen: list[Any] = []
    for epoch in range(epochs):
        for number, batch in enumerate(loader, 1):
            seen.append((epoch, plain(batch), draws()))
            if number == stop:
                break
    return seen


def check_like_plain_loop(make: Callable[[], Any], epochs: int = 3, **options: Any) -> None:
    seed_all(1)
    expected = plain_loop(make(), epochs, options.get("limit"))
    seed_all(1)
    cursor = TrainingCursor(make(), **options)
    seen = [(epoch, plain(batch), draws()) for epoch in range(epochs) for batch in cursor.epoch(epoch)]
    assert seen == expected


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
        values = [index, self.rng.random(), self.legacy.randn(), mine.gauss(0, 1), torch.rand(1, generator=generator).item()]
        return torch.tensor(values, dtype=torch.float64)


class EagerSampler(Sampler[int]):
    """Draws its order when the iterator is made."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(self.count).tolist())


class LazySampler(Sampler[int]):
    """Draws every index when it is asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        for _ in range(self.count):
            yield random.randrange(self.count)


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
            yield torch.tensor([number, torch.rand(1).item() + random.random() if self.noise else 0], dtype=torch.float64)


class SizedStream(Stream):
    def __len__(self) -> int:
        return self.count


class ShuffleBuffer(IterableDataset[int]):
    """Shuffles a stream in a buffer, with its own generator."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.generator = torch.Generator().manual_seed(4)

    def __iter__(self) -> Iterator[int]:
        buffer = list(range(3))
        for number in range(3, self.count):
            where = int(torch.randint(3, (1,), generator=self.generator))
            yield buffer[where]
            buffer[where] = number
        yield from buffer


class Stateful:
    """A loader like torchdata's: `iter` begins anew, or goes on where it was told if that was not the end."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.state: dict[str, Any] = {}
        self.told = False

    def __iter__(self) -> Iterator[int]:
        if not self.told:
            self.state = {"order": torch.randperm(self.count).tolist(), "at": 0, "finished": False}
        self.told = False
        while self.state["at"] < self.count:
            self.state["at"] += 1
            yield self.state["order"][self.state["at"] - 1] + (100 if torch.rand(1) > 0.5 else 0)
        self.state["finished"] = True

    def state_dict(self) -> dict[str, Any]:
        return dict(self.state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.state = dict(state_dict)
        self.told = not self.state["finished"]

    def __len__(self) -> int:
        return self.count


class Cursor(Stateful):
    """An endless stream that is its own iterator."""

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        self.state = {"at": self.state.get("at", 0) + 1}
        return int(self.state["at"])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.state = dict(state_dict)

    def __len__(self) -> int:
        raise TypeError("no length")


class StatefulStream(Stateful):
    def __len__(self) -> int:
        raise TypeError("no length")


class Repeated:
    """An iterable of the user's own, without a length."""

    def __iter__(self) -> Iterator[Any]:
        for number in range(5):
            yield number, random.random(), torch.rand(1).item()


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shared_generator(**options: Any) -> DataLoader[Any]:
    own = generator(9)
    return DataLoader(Augmented(7), batch_size=2, sampler=RandomSampler(range(7), generator=own), generator=own, **options)


SIZED: dict[str, Callable[[], Any]] = {
    "in order": lambda: DataLoader(Numbers(7), batch_size=2),
    "shuffled": lambda: DataLoader(Numbers(7), batch_size=2, shuffle=True),
    "shuffled, whole batches": lambda: DataLoader(Numbers(6), batch_size=2, shuffle=True),
    "shuffled, last dropped": lambda: DataLoader(Numbers(7), batch_size=2, shuffle=True, drop_last=True),
    "augmented": lambda: DataLoader(Augmented(7), batch_size=2, shuffle=True),
    "own noise": lambda: DataLoader(OwnNoise(7), batch_size=2, shuffle=True),
    "own generator": lambda: DataLoader(Augmented(6), batch_size=2, shuffle=True, generator=generator(2)),
    "one generator for all": shared_generator,
    "sampler's generator": lambda: DataLoader(
        Augmented(7), batch_size=2, sampler=RandomSampler(range(7), generator=generator(2)), generator=generator(3)
    ),
    "with replacement": lambda: DataLoader(
        Augmented(7), batch_size=2, sampler=RandomSampler(range(7), replacement=True, num_samples=70, generator=generator(1))
    ),
    "more than all": lambda: DataLoader(Numbers(3), batch_size=2, sampler=RandomSampler(range(3), num_samples=8)),
    "subset": lambda: DataLoader(Numbers(9), batch_size=2, sampler=SubsetRandomSampler([1, 5, 7, 2, 8])),
    "weighted": lambda: DataLoader(Numbers(5), sampler=WeightedRandomSampler([1, 2, 3, 4, 5], 6)),
    "distributed": lambda: DataLoader(
        Augmented(7), batch_size=2, sampler=DistributedSampler(Numbers(7), num_replicas=2, rank=1, shuffle=True)
    ),
    "eager sampler": lambda: DataLoader(Augmented(5), batch_size=2, sampler=EagerSampler(5)),
    "told the epoch": lambda: DataLoader(Numbers(5), batch_size=2, sampler=EpochSampler(5)),
    "batch sampler": lambda: DataLoader(Augmented(8), batch_sampler=Buckets(8)),
    "torch's batch sampler": lambda: DataLoader(
        Numbers(7), batch_sampler=BatchSampler(RandomSampler(range(7)), batch_size=3, drop_last=False)
    ),
    "no batches": lambda: DataLoader(Augmented(5), batch_size=None, shuffle=True),
    "sized stream": lambda: DataLoader(SizedStream(5), batch_size=2),
    "list": lambda: [1, 2, 3, 4],
    "stateful": lambda: Stateful(5),
}

UNSIZED: dict[str, Callable[[], Any]] = {
    "stream": lambda: DataLoader(Stream(7), batch_size=2),
    "shuffle buffer": lambda: DataLoader(ShuffleBuffer(9), batch_size=2),
    "iterable": Repeated,
    "stateful": lambda: StatefulStream(5),
}


@pytest.mark.parametrize("name", SIZED)
def test_goes_on_behind_every_batch(name: str) -> None:
    check_every_stop(SIZED[name])


@pytest.mark.parametrize("name", UNSIZED)
def test_goes_on_behind_every_batch_without_a_length(name: str) -> None:
    check_every_stop(UNSIZED[name])


@pytest.mark.parametrize("name", [*SIZED, *UNSIZED])
def test_goes_on_behind_every_batch_of_epochs_cut_short(name: str) -> None:
    check_every_stop((SIZED | UNSIZED)[name], limit=2)


@pytest.mark.parametrize("name", [name for name in SIZED if name not in ("told the epoch", "distributed")])
def test_reads_as_a_plain_loop_does(name: str) -> None:
    check_like_plain_loop(SIZED[name])
    check_like_plain_loop(SIZED[name], limit=2)


@pytest.mark.filterwarnings("ignore:The training data's sampler draws")
def test_goes_on_with_a_sampler_that_draws_every_index() -> None:
    check_every_stop(lambda: DataLoader(Augmented(5), batch_size=2, sampler=LazySampler(5)))


def test_says_that_a_sampler_draws_every_index() -> None:
    cursor = TrainingCursor(DataLoader(Numbers(8), batch_size=2, sampler=LazySampler(8)))
    batches = cursor.epoch(0)
    for _ in range(3):
        next(batches)
    again = TrainingCursor(DataLoader(Numbers(8), batch_size=2, sampler=LazySampler(8)))
    again.load_state_dict(cursor.state_dict())
    with pytest.warns(UserWarning, match="generator of its own"):
        again.epoch(0)


@pytest.mark.parametrize("limit", [4, 3])
def test_goes_on_with_endless_data(limit: int) -> None:
    check_every_stop(itertools.count, limit=limit)
    check_every_stop(lambda: itertools.cycle([1, 2, 3]), limit=limit)
    check_every_stop(lambda: Cursor(0), limit=limit)


def test_goes_on_with_a_generator() -> None:
    def made() -> Iterator[float]:
        for number in range(20):
            yield number + random.random()

    check_every_stop(made, epochs=1)
    check_every_stop(made, epochs=3, limit=4)  # every epoch takes the next four


MODES = ["min_size", "max_size_cycle", "max_size", "sequential"]


def several(mode: str) -> CombinedLoader:
    loaders = {
        "noise": DataLoader(Augmented(5), batch_size=2, shuffle=True),
        "own": [DataLoader(OwnNoise(9), batch_size=2, shuffle=True, generator=generator(4)), [1, 2]],
    }
    return CombinedLoader(loaders, mode)


def sharing(mode: str) -> CombinedLoader:
    own = generator(3)
    options: dict[str, Any] = {"batch_size": 2, "shuffle": True, "generator": own}
    return CombinedLoader([DataLoader(Augmented(4), **options), DataLoader(Numbers(9), **options)], mode)


def streams(mode: str) -> CombinedLoader:
    return CombinedLoader([DataLoader(Stream(3)), DataLoader(Augmented(9), batch_size=2, shuffle=True), Repeated()], mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [several, sharing, streams])
def test_goes_on_with_several_loaders(make: Callable[[str], CombinedLoader], mode: str) -> None:
    check_every_stop(lambda: make(mode))
    check_every_stop(lambda: make(mode), limit=2)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [several, sharing])
def test_reads_several_loaders_as_a_plain_loop_does(make: Callable[[str], CombinedLoader], mode: str) -> None:
    seed_all(1)
    expected = plain_loop((batch for batch, _, _ in make(mode)), 1)
    seed_all(1)
    assert [(0, plain(batch), draws()) for batch in TrainingCursor(make(mode)).epoch(0)] == expected


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


WORKERS: dict[str, Callable[[], Any]] = {
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
    "told the epoch": lambda: persistent(Numbers(5), sampler=EpochSampler(5)),
    "stream": lambda: persistent(Stream(7, noise=False)),
}


@pytest.mark.parametrize("name", WORKERS)
def test_goes_on_with_workers(name: str) -> None:
    check_every_stop(WORKERS[name], epochs=2)


@pytest.mark.parametrize("name", PERSISTENT)
def test_goes_on_with_persistent_workers(name: str) -> None:
    check_every_stop(PERSISTENT[name], epochs=3)


def test_goes_on_with_workers_in_epochs_cut_short() -> None:
    check_every_stop(WORKERS["augmented"], epochs=2, limit=2)
    check_every_stop(PERSISTENT["shuffled"], epochs=3, limit=2)


def test_goes_on_with_several_loaders_with_workers() -> None:
    def make() -> CombinedLoader:
        return CombinedLoader([PERSISTENT["shuffled"](), DataLoader(Augmented(3), num_workers=1)], "max_size_cycle")

    check_every_stop(make, epochs=2)


@pytest.mark.parametrize("name", ["shuffled", "own generator", "augmented", "eager sampler"])
def test_reads_with_workers_as_a_plain_loop_does(name: str) -> None:
    check_like_plain_loop(WORKERS[name], epochs=2)


def test_reads_with_persistent_workers_as_a_plain_loop_does() -> None:
    check_like_plain_loop(PERSISTENT["shuffled"])
