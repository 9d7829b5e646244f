"""What the tests of exact continuation share."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy
import pytest
import torch

from fulmen_core.data import CombinedLoader, TrainingCursor, length_of


def seed_all(seed: int) -> None:
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


def draws() -> tuple[Any, ...]:
    """Draw from every global generator, an odd number of normal deviates included: they come in pairs."""
    return (
        random.random(),
        random.gauss(0, 1),
        numpy.random.rand(),
        numpy.random.randn(),
        torch.rand(3).tolist(),
        torch.randn(1).item(),
    )


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
        batches = (batch for batch, _, _ in loader) if isinstance(loader, CombinedLoader) else loader
        for number, batch in enumerate(batches, 1):
            seen.append((epoch, plain(batch), draws()))
            if number == stop and stop != length_of(loader):
                break
    return seen


def check_like_plain_loop(make: Callable[[], Any], epochs: int = 3, **options: Any) -> None:
    seed_all(1)
    expected = plain_loop(make(), epochs, options.get("limit"))
    seed_all(1)
    cursor = TrainingCursor(make(), **options)
    seen = [(epoch, plain(batch), draws()) for epoch in range(epochs) for batch in cursor.epoch(epoch)]
    assert seen == expected


@pytest.fixture(name="check_every_stop")
def _check_every_stop() -> Callable[..., None]:
    """Stops a run behind every batch and every epoch, goes on as a new process would, and compares."""
    return check_every_stop


@pytest.fixture(name="check_like_plain_loop")
def _check_like_plain_loop() -> Callable[..., None]:
    """Compares what a cursor gives, and what is drawn in between, with a plain loop over the loader."""
    return check_like_plain_loop
