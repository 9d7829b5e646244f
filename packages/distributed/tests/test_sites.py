from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from fulmen_distributed._sites import _looking, frame_of

EAGER = 1
"""New objects after which Python collects garbage."""


@pytest.fixture
def waiting() -> Iterator[threading.Thread]:
    """A thread that waits in a function of that name."""
    over, there = threading.Event(), threading.Event()

    def wait_here() -> None:
        there.set()
        over.wait()

    thread = threading.Thread(target=wait_here)
    thread.start()
    there.wait()
    yield thread
    over.set()
    thread.join()


@pytest.fixture
def collections() -> Iterator[list[bool]]:
    """Of each collection of garbage, whether it was within a look."""
    within: list[bool] = []

    def note(phase: str, info: dict[str, int]) -> None:
        within.append(_looking.locked())

    before = gc.get_threshold()
    gc.callbacks.append(note)
    gc.set_threshold(EAGER)
    yield within
    gc.set_threshold(*before)
    gc.callbacks.remove(note)


def test_it_is_told_where_a_thread_is(waiting: threading.Thread) -> None:
    assert waiting.ident is not None
    names, frame = [], frame_of(waiting.ident)
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    assert "wait_here" in names


def test_a_thread_that_has_ended_is_nowhere() -> None:
    ended = threading.Thread(target=int)
    ended.start()
    ended.join()
    assert ended.ident is not None
    assert frame_of(ended.ident) is None


def test_no_garbage_is_collected_amid_a_look(waiting: threading.Thread, collections: list[bool]) -> None:
    for _ in range(100):
        assert frame_of(waiting.ident or 0) is not None
        [[] for _ in range(10)]  # garbage is collected here
    assert collections
    assert not any(collections)


@pytest.mark.parametrize("collects", [True, False])
def test_a_look_leaves_the_collector_as_it_was(collects: bool, waiting: threading.Thread) -> None:
    before = gc.isenabled()
    gc.enable() if collects else gc.disable()
    try:
        frame_of(waiting.ident or 0)
        assert gc.isenabled() is collects
    finally:
        gc.enable() if before else gc.disable()
