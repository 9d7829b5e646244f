"""Several loaders read together: stopping behind every batch, and reading as a plain loop does."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
)

from fulmen_core.data import CombinedLoader

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


class Repeated:
    """An iterable of the user's own, without a length."""

    def __iter__(self) -> Iterator[Any]:
        for number in range(5):
            yield number, random.random(), torch.rand(1).item()


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class GoesOnWhenAsked:
    """A loader that goes on from the state it was told, without a length: its generator does so when it is asked."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.at = 0
        self.told = False

    def __iter__(self) -> Iterator[int]:
        self.at = self.at if self.told else 0
        self.told = False
        while self.at < self.count:
            self.at += 1
            yield self.at

    def state_dict(self) -> dict[str, Any]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.at, self.told = state["at"], True


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
    return CombinedLoader(
        [DataLoader(Stream(3)), DataLoader(Augmented(9), batch_size=2, shuffle=True), Repeated()], mode
    )


def stateful(mode: str) -> CombinedLoader:
    """The first ends, while the second has just been put back and was not asked for a batch."""
    return CombinedLoader([DataLoader(Numbers(4), batch_size=2), GoesOnWhenAsked(7)], mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [several, sharing, streams, stateful])
def test_goes_on_with_several_loaders(
    make: Callable[[str], CombinedLoader], mode: str, check_every_stop: Check
) -> None:
    check_every_stop(lambda: make(mode))
    check_every_stop(lambda: make(mode), limit=2)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [several, sharing])
def test_reads_several_loaders_as_a_plain_loop_does(
    make: Callable[[str], CombinedLoader], mode: str, check_like_plain_loop: Check
) -> None:
    check_like_plain_loop(lambda: make(mode))
    check_like_plain_loop(lambda: make(mode), limit=2)
