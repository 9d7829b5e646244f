"""What every contender trains: a network, the same batches, the loop by hand, and the clock that its steps tick."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import pairwise
from time import perf_counter_ns, thread_time_ns

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

Batch = tuple[Tensor, Tensor]

BATCH_SIZE = 64
FEATURES = 64
HIDDEN = 128
CLASSES = 10
DISTINCT_BATCHES = 16
LEARNING_RATE = 1e-3


def network() -> nn.Sequential:
    """The model: a train step of about 270 us on one thread of the machine that the targets were set on."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))


def loader(steps: int) -> DataLoader[Batch]:
    """A loader of that many ready-made batches, so that no contender waits for collation."""
    made = [(torch.randn(BATCH_SIZE, FEATURES), torch.randint(CLASSES, (BATCH_SIZE,))) for _ in range(DISTINCT_BATCHES)]
    return DataLoader([made[i % DISTINCT_BATCHES] for i in range(steps)], batch_size=None)  # type: ignore[arg-type]


class Clock:
    """The times at which steps began. Everything between two of them is the cost of one step."""

    __slots__ = ("_at", "_stamps")

    def __init__(self, steps: int) -> None:
        self._stamps = array("q", bytes(8 * steps))
        self._at = 0

    def tick(self) -> None:
        """Note that a step begins now."""
        self._stamps[self._at] = perf_counter_ns()
        self._at += 1

    def durations(self, skip: int) -> list[float]:
        """Microseconds of each step, without the first `skip` (allocator and caches still warm up in them)."""
        stamps = self._stamps[skip : self._at]
        return [(later - earlier) / 1000 for earlier, later in pairwise(stamps)]


class ThreadClock(Clock):
    """Notes beside the time how long the step's thread has run: what it waits for messages is not in that."""

    __slots__ = ("_ran",)

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        self._ran: list[int] = []

    def tick(self) -> None:
        """Note that a step begins now."""
        super().tick()
        self._ran.append(thread_time_ns())

    def own_durations(self, skip: int) -> list[float]:
        """Microseconds for which the thread ran in each step, without the first `skip`."""
        return [(later - earlier) / 1000 for earlier, later in pairwise(self._ran[skip:])]


def train_by_hand(make: Callable[[], nn.Module], steps: int, clock: Clock) -> None:
    """The training loop with torch alone, on a new network."""
    net = make()
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE)
    for features, labels in loader(steps):
        clock.tick()
        optimizer.zero_grad()
        loss = cross_entropy(net(features), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
