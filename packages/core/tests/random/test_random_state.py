"""Capturing and restoring random states."""

from __future__ import annotations

import io
import multiprocessing
import os
import random
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy
import pytest
import torch

from fulmen_core.random import (
    Snapshot,
    capture_generators,
    capture_random_state,
    find_generators,
    restore_generators,
    restore_random_state,
    same_generators,
)
from fulmen_interfaces import AcceleratorSpec


def stored(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def draws() -> tuple[Any, ...]:
    return random.random(), random.gauss(0, 1), numpy.random.rand(), numpy.random.randn(), torch.randn(3).tolist()


def seed_all(seed: int) -> None:
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


@pytest.mark.parametrize("before", range(4))  # normal deviates come in pairs, of which one may be waiting
def test_numbers_go_on_where_they_were(before: int) -> None:
    seed_all(1)
    for _ in range(before):
        draws()
    state = stored(capture_random_state())
    expected = [draws(), draws()]
    seed_all(2)
    restore_random_state(state)
    assert [draws(), draws()] == expected


def test_capturing_draws_nothing() -> None:
    seed_all(1)
    expected = draws()
    seed_all(1)
    capture_random_state()
    assert draws() == expected


def test_a_state_without_numpy_leaves_numpy_alone() -> None:
    state = capture_random_state()
    numpy.random.seed(5)
    restore_random_state({**state, "numpy": None})
    assert numpy.random.rand() == numpy.random.RandomState(5).rand()


class Device:
    """An accelerator with a generator of its own."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(7)

    @property
    def spec(self) -> AcceleratorSpec:
        raise NotImplementedError

    def device(self, index: int) -> torch.device:
        return torch.device("cpu")

    def setup(self, device: torch.device) -> None:
        pass

    def teardown(self) -> None:
        pass

    def random_state(self) -> Mapping[str, torch.Tensor]:
        return {"sim:0": self.generator.get_state()}

    def set_random_state(self, state: Mapping[str, torch.Tensor]) -> None:
        self.generator.set_state(state["sim:0"])


def test_devices_go_on_too() -> None:
    device = Device()
    state = stored(capture_random_state(device))
    expected = torch.rand(2, generator=device.generator)
    other = Device()
    other.generator.manual_seed(0)
    restore_random_state(state, other)
    assert torch.equal(torch.rand(2, generator=other.generator), expected)
    restore_random_state(state)  # a host alone leaves them out
    restore_random_state(capture_random_state(), device)


def test_snapshots_tell_whether_anybody_drew() -> None:
    first = Snapshot.take()
    assert first.same_as(Snapshot.take())
    for draw in (random.random, numpy.random.rand, lambda: torch.rand(1)):
        before = Snapshot.take()
        draw()
        assert not before.same_as(Snapshot.take())
    first.restore()
    assert first.same_as(Snapshot.take())


def drawn_under(state: Snapshot) -> tuple[float, ...]:
    state.take_over()
    return random.random(), numpy.random.rand(), torch.rand(1).item(), float(torch.initial_seed())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the process is forked: Python seeds it anew")
def test_a_new_process_draws_what_the_one_that_started_it_would_have_drawn() -> None:
    seed_all(5)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        found = pool.submit(drawn_under, Snapshot.take()).result()
    assert found == (random.random(), numpy.random.rand(), torch.rand(1).item(), 5.0)


class Owner:
    """Has generators of all kinds, in all sorts of places."""

    def __init__(self, seed: int) -> None:
        self.torch = torch.Generator().manual_seed(seed)
        self._private = random.Random(seed)
        self.parts = {"numpy": [numpy.random.default_rng(seed)]}
        self.legacy = (numpy.random.RandomState(seed),)
        self.philox = numpy.random.Generator(numpy.random.Philox(seed))
        self.again = self.torch
        self.me = self
        self.system = random.SystemRandom()
        self.weights = torch.ones(3)

    def draws(self) -> tuple[Any, ...]:
        return (
            *(torch.rand(1, generator=self.torch).item(), self._private.gauss(0, 1)),
            *(self.parts["numpy"][0].normal(), self.legacy[0].randn(), self.philox.random()),
        )


def test_generators_are_found_once_each() -> None:
    assert set(find_generators(Owner(1))) == {"torch", "_private", "parts.numpy.0", "legacy.0", "philox"}
    assert set(find_generators(random.Random())) == {""}


def test_own_generators_go_on_where_they_were() -> None:
    owner = Owner(1)
    owner.draws()
    state = capture_generators(owner)
    expected = [owner.draws(), owner.draws()]
    other = Owner(2)
    restore_generators(other, stored(state))
    assert [other.draws(), other.draws()] == expected


def test_own_generators_tell_whether_anybody_drew() -> None:
    owner = Owner(1)
    before = capture_generators(owner)
    assert same_generators(before, capture_generators(owner))
    owner.philox.random()
    assert not same_generators(before, capture_generators(owner))


def test_generators_that_are_gone_are_left_out() -> None:
    state = capture_generators(Owner(1))
    restore_generators(object(), state)
    other = Owner(2)
    other.torch = None  # type: ignore[assignment]
    other.again = random.Random(3)  # type: ignore[assignment]
    restore_generators(other, state)
    assert other.philox.random() == Owner(1).philox.random()
