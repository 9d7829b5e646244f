"""Seeding, and code whose random numbers leave no trace."""

from __future__ import annotations

import os
import random
from contextlib import suppress

import pytest
import torch

from fulmen_core._seed import isolate_rng, seed_everything, workers_are_seeded
from fulmen_interfaces import ConfigurationError


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for variable in ("FULMEN_GLOBAL_SEED", "FULMEN_SEED_WORKERS", "PL_GLOBAL_SEED", "RANK"):
        monkeypatch.setenv(variable, "")  # so that what the test sets is undone
        monkeypatch.delenv(variable)


try:
    import numpy as np
except ImportError:  # the core does without it
    np = None


def draw():
    drawn = [random.random(), float(torch.rand((), dtype=torch.float64))]
    return drawn if np is None else [*drawn, float(np.random.rand())]


def test_the_same_seed_gives_the_numbers_that_each_library_gives_for_it():
    assert seed_everything(7) == 7
    generator = torch.Generator().manual_seed(7)
    expected = [random.Random(7).random(), float(torch.rand((), generator=generator, dtype=torch.float64))]
    assert draw() == (expected if np is None else [*expected, float(np.random.RandomState(7).rand())])


def test_without_a_seed_the_environment_counts(monkeypatch):
    assert seed_everything() == 0
    monkeypatch.delenv("FULMEN_GLOBAL_SEED")
    monkeypatch.setenv("PL_GLOBAL_SEED", "11")
    assert seed_everything() == 11
    monkeypatch.setenv("FULMEN_GLOBAL_SEED", "12")
    assert seed_everything() == 12


def test_processes_that_are_started_later_find_the_seed():
    seed_everything(5, workers=True)
    assert os.environ["FULMEN_GLOBAL_SEED"] == "5"
    assert workers_are_seeded()
    seed_everything(6)
    assert not workers_are_seeded()


@pytest.mark.parametrize("seed", [-1, 2**32, "x", 1.5, True])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(ConfigurationError, match="whole number from 0 to 4294967295"):
        seed_everything(seed)


def test_a_wrong_variable_is_named(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "abc")
    with pytest.raises(ConfigurationError, match="PL_GLOBAL_SEED='abc'"):
        seed_everything()


@pytest.mark.parametrize("verbose", [True, False])
def test_the_seed_is_told_on_request(verbose, caplog):
    with caplog.at_level("INFO", logger="fulmen"):
        seed_everything(3, verbose=verbose)
    assert ("Seed set to 3." in caplog.text) is verbose


def test_what_happens_inside_isolation_leaves_no_trace():
    seed_everything(1)
    expected = [draw(), draw()]
    seed_everything(1)
    seen = [draw()]
    with isolate_rng():
        seed_everything(99)
        draw()
    seen.append(draw())
    assert seen == expected


def test_isolation_ends_with_errors_too():
    seed_everything(1)
    state = torch.get_rng_state()
    with suppress(KeyError), isolate_rng():
        torch.rand(3)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), state)
