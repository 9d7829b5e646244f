"""Ranks agree on where to stop. Threads play the ranks; they leave their notes in one dictionary."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from fulmen_core.loop._accord import StopAccord
from fulmen_interfaces import World

POINTS = 400


class Board:
    """A board in memory."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def leave(self, key: str, text: str) -> None:
        assert key == "asked" or key not in self.texts, "a rank answers once"
        self.texts[key] = text

    def found(self, key: str) -> str | None:
        return self.texts.get(key)


@contextmanager
def looking_often(accord: StopAccord) -> Iterator[None]:
    """Inside, a thread looks for notes all the time, as the accord's own does now and then."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.0002):
            accord.look()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def stopped_at(size: int, asking: dict[int, int], *, seed: int, apart: int) -> tuple[list[int | None], Board]:
    """Let ranks pass points, some asking from a certain one on; ranks are at most so many points apart."""
    board, passed = Board(), [0] * size

    def rank(number: int) -> int | None:
        pauses = random.Random(seed + number)
        with StopAccord(board, World(number, size), lambda: None) as accord, looking_often(accord):
            for point in range(POINTS):
                deadline = time.monotonic() + 20
                while point > min(passed) + apart:  # gradients of the others are waited for
                    assert time.monotonic() < deadline, "ranks wait for each other"
                    time.sleep(0)
                asked = number in asking and point >= asking[number]
                if accord.reached(asked):
                    passed[number] = POINTS + apart
                    return point
                passed[number] = point + 1
                if pauses.random() < 0.1:
                    time.sleep(pauses.random() / 500)
        passed[number] = POINTS + apart
        return None

    with ThreadPoolExecutor(size) as pool:
        return [task.result() for task in [pool.submit(rank, number) for number in range(size)]], board


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("apart", [1, 5])
def test_all_ranks_stop_at_one_point_soon_after_one_was_asked_to(seed: int, apart: int) -> None:
    at, _ = stopped_at(3, {1: 50}, seed=seed, apart=apart)
    assert len(set(at)) == 1
    assert at[0] is not None
    assert 50 <= at[0] <= 50 + apart + 1


def test_ranks_that_are_all_asked_at_the_same_point_stop_there() -> None:
    at, _ = stopped_at(3, {0: 30, 1: 30, 2: 30}, seed=1, apart=1)
    assert at == [30, 30, 30]


def test_nobody_stops_unasked_and_nothing_is_exchanged_meanwhile() -> None:
    at, board = stopped_at(2, {}, seed=2, apart=1)
    assert at == [None, None]
    assert set(board.texts) == {"0", "1"}  # each rank's answer, left at its end


def test_who_asks_last_does_not_wait_for_ranks_that_are_done() -> None:
    """The other rank has passed all points when this one is asked at its last."""
    board = Board()
    with StopAccord(board, World(1, 2), lambda: None) as done:
        for _ in range(5):
            assert not done.reached(False)
    with StopAccord(board, World(0, 2), lambda: None) as late:
        assert [late.reached(asked) for asked in (False, False, False, False, True)] == [False] * 5


def test_who_waits_can_be_interrupted() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with StopAccord(Board(), World(0, 2), interrupt) as accord, pytest.raises(KeyboardInterrupt):
        accord.reached(True)
    assert threading.active_count() < 50


def test_no_thread_of_it_is_left_when_it_is_over() -> None:
    """A thread that is within torch's store when Python ends aborts the process."""

    class SlowBoard(Board):
        def found(self, key: str) -> str | None:
            looking.set()
            time.sleep(0.3)
            return super().found(key)

    looking = threading.Event()
    with StopAccord(SlowBoard(), World(), lambda: None):
        assert looking.wait(10)
    assert "fulmen-stop" not in {thread.name for thread in threading.enumerate()}
