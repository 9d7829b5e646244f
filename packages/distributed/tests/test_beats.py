from __future__ import annotations

import pytest
import torch.distributed as dist

from fulmen_distributed._beats import PATIENCE_SECONDS, SILENCE_SECONDS, Heart, LifeClock


class Time:
    """The machine's clock, which a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_time_counts_while_the_process_runs() -> None:
    time = Time()
    clock = LifeClock(time)
    for _ in range(40):
        time.seconds += 0.5
        clock.now()
    assert clock.now() == pytest.approx(20.0)


def test_the_time_for_which_it_was_stopped_counts_little() -> None:
    time = Time()
    clock = LifeClock(time)
    time.seconds += 3600.0
    assert clock.now() < PATIENCE_SECONDS


@pytest.fixture
def hearts() -> tuple[Time, Heart, Heart]:
    """Those of two ranks on one machine, and its clock."""
    time, store = Time(), dist.HashStore()
    return time, Heart(store, 0, 2, LifeClock(time)), Heart(store, 1, 2, LifeClock(time))


def test_a_rank_that_does_not_beat_becomes_silent(hearts: tuple[Time, Heart, Heart]) -> None:
    time, watching, watched = hearts
    watched.beat()
    for _ in range(20):
        _, silent = watching.others()[1]
        time.seconds += 0.5
    assert silent == pytest.approx(9.5)
    assert silent > SILENCE_SECONDS


def test_ranks_that_were_stopped_together_were_not_silent(hearts: tuple[Time, Heart, Heart]) -> None:
    time, watching, watched = hearts
    watched.beat()
    watching.others()
    time.seconds += 3600.0
    _, silent = watching.others()[1]
    assert silent < SILENCE_SECONDS


def test_nor_did_they_wait_for_others_all_that_time(hearts: tuple[Time, Heart, Heart]) -> None:
    time, waiting, _ = hearts
    waiting.agreeing_since = waiting.clock.now()
    time.seconds += 3600.0
    assert waiting.own().waits < PATIENCE_SECONDS
