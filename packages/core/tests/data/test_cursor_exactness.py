"""Stop behind every batch, go on in a state like that of a new process, and compare with the run that never stopped."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy
import pytest
import torch
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

from fulmen_core.data import DevicePrefetch, TrainingCursor

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


class CountingSampler(EpochSampler):
    """Knows the epoch because it counts, and shuffles its order further every time."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.order = list(range(count))
        self.weights = torch.arange(count)

    def set_epoch(self, epoch: int) -> None:
        pass

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        random.shuffle(self.order)
        self.weights += self.epoch
        for place, index in enumerate(self.order):
            yield (index + self.epoch + int(self.weights[place])) % self.count


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


class CountingStream(IterableDataset[int]):
    """Shuffles anew in every epoch, which it counts itself."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        order = list(range(self.count))
        random.Random(self.epoch).shuffle(order)
        return iter(order)


class Named(DataLoader[Any]):
    """Is read as torch reads it."""

    def __init__(self, name: str, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.name = name


class Noisy(DataLoader[Any]):
    """Is read in a way of its own."""

    def __iter__(self) -> Any:
        for batch in super().__iter__():
            yield batch + torch.rand(1)


class CountingLoader:
    """A loader of the user's own that counts epochs, and shuffles one list further and further."""

    def __init__(self) -> None:
        self.epoch = 0
        self.order = list(range(4))

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[tuple[int, int]]:
        self.epoch += 1
        random.shuffle(self.order)
        return ((self.epoch, index) for index in self.order)


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


class Literal:
    """A loader whose `iter` goes on from any state that it was told, also from the end, and counts what it began."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.state: dict[str, Any] = {"at": count, "pass": 0}
        self.told = False
        self.rng = random.Random(3)

    def __iter__(self) -> Iterator[Any]:
        if not self.told:
            self.state = {"at": 0, "pass": self.state["pass"] + 1}
        self.told = False
        while self.state["at"] < self.count:
            self.state = {**self.state, "at": self.state["at"] + 1}
            yield self.state["pass"] * 100 + self.state["at"], self.rng.random()

    def state_dict(self) -> dict[str, Any]:
        return self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.state, self.told = state_dict, True

    def __len__(self) -> int:
        return self.count


class LiteralStream(Literal):
    def __len__(self) -> int:
        raise TypeError("no length")


class CountsTwice(DataLoader[Any]):
    """Like torchdata's loader over a stream without a state: what is read to come back counts as well."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.read = self.before = 0

    def __iter__(self) -> Any:
        self.read, before, self.before = self.before, self.before, 0
        iterator = super().__iter__()
        for _ in range(before):
            next(iterator)
            self.read += 1
        for batch in iterator:
            self.read += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        return {"read": self.read}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.before = state_dict["read"]


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
    return DataLoader(
        Augmented(7), batch_size=2, sampler=RandomSampler(range(7), generator=own), generator=own, **options
    )


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
        Augmented(7),
        batch_size=9,
        sampler=RandomSampler(range(7), replacement=True, num_samples=70, generator=generator(1)),
    ),
    "more than all": lambda: DataLoader(Numbers(3), batch_size=2, sampler=RandomSampler(range(3), num_samples=8)),
    "subset": lambda: DataLoader(Numbers(9), batch_size=2, sampler=SubsetRandomSampler([1, 5, 7, 2, 8])),
    "weighted": lambda: DataLoader(Numbers(5), sampler=WeightedRandomSampler([1, 2, 3, 4, 5], 6)),
    "distributed": lambda: DataLoader(
        Augmented(7), batch_size=2, sampler=DistributedSampler(Numbers(7), num_replicas=2, rank=1, shuffle=True)
    ),
    "eager sampler": lambda: DataLoader(Augmented(5), batch_size=2, sampler=EagerSampler(5)),
    "told the epoch": lambda: DataLoader(Numbers(5), batch_size=2, sampler=EpochSampler(5)),
    "counting sampler": lambda: DataLoader(Numbers(5), batch_size=2, sampler=CountingSampler(5)),
    "batch sampler": lambda: DataLoader(Augmented(8), batch_sampler=Buckets(8)),
    "torch's batch sampler": lambda: DataLoader(
        Numbers(7), batch_sampler=BatchSampler(RandomSampler(range(7)), batch_size=3, drop_last=False)
    ),
    "no batches": lambda: DataLoader(Augmented(5), batch_size=None, shuffle=True),
    "sized stream": lambda: DataLoader(SizedStream(5), batch_size=2),
    "own loader": CountingLoader,
    "subclass": lambda: Named("x", Augmented(5), batch_size=2, shuffle=True),
    "subclass with its own iteration": lambda: Noisy(Numbers(5), batch_size=2, shuffle=True),
    "list": lambda: [1, 2, 3, 4],
    "stateful": lambda: Stateful(5),
    "stateful, also at its end": lambda: Literal(5),
}

UNSIZED: dict[str, Callable[[], Any]] = {
    "stream": lambda: DataLoader(Stream(7), batch_size=2),
    "shuffle buffer": lambda: DataLoader(ShuffleBuffer(9), batch_size=2),
    "counting stream": lambda: DataLoader(CountingStream(5), batch_size=2),
    "iterable": Repeated,
    "stateful": lambda: StatefulStream(5),
    "stateful, also at its end": lambda: LiteralStream(5),
    "stateful over a stream without a state": lambda: CountsTwice(Stream(7), batch_size=2),
}


@pytest.mark.parametrize("name", SIZED)
def test_goes_on_behind_every_batch(name: str, check_every_stop: Check) -> None:
    check_every_stop(SIZED[name])


@pytest.mark.parametrize("name", UNSIZED)
def test_goes_on_behind_every_batch_without_a_length(name: str, check_every_stop: Check) -> None:
    check_every_stop(UNSIZED[name])


@pytest.mark.parametrize("name", [*SIZED, *UNSIZED])
def test_goes_on_behind_every_batch_of_epochs_cut_short(name: str, check_every_stop: Check) -> None:
    check_every_stop((SIZED | UNSIZED)[name], epochs=2, limit=2)


class NoStreams:
    """An accelerator whose copies are done when they are asked for."""

    def copy_stream(self, device: torch.device) -> AbstractContextManager[Any]:
        return nullcontext()

    def wait_for_copies(self, device: torch.device) -> None:
        pass

    def keep_alive(self, tensor: torch.Tensor) -> None:
        pass


@pytest.mark.parametrize("name", SIZED)
def test_goes_on_behind_every_batch_with_copies_made_ahead(name: str, check_every_stop: Check) -> None:
    prefetch = DevicePrefetch(lambda batch: batch, NoStreams(), torch.device("cpu"))
    check_every_stop(SIZED[name], prefetch=prefetch)


@pytest.mark.parametrize("name", [name for name in SIZED if name not in ("told the epoch", "distributed")])
def test_reads_as_a_plain_loop_does(name: str, check_like_plain_loop: Check) -> None:
    check_like_plain_loop(SIZED[name])
    check_like_plain_loop(SIZED[name], limit=2)


@pytest.mark.filterwarnings("ignore:The training data's sampler draws")
def test_goes_on_with_a_sampler_that_draws_every_index(check_every_stop: Check) -> None:
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
def test_goes_on_with_endless_data(limit: int, check_every_stop: Check) -> None:
    check_every_stop(itertools.count, limit=limit)
    check_every_stop(lambda: itertools.cycle([1, 2, 3]), limit=limit)
    check_every_stop(lambda: Cursor(0), limit=limit)


def test_goes_on_with_a_generator(check_every_stop: Check) -> None:
    def made() -> Iterator[float]:
        for number in range(20):
            yield number + random.random()

    check_every_stop(made, epochs=1)
    check_every_stop(made, epochs=3, limit=4)  # every epoch takes the next four
