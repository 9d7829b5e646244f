"""Notes that processes leave each other while others of their threads wait."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from torch.distributed import DistStoreError, PrefixStore, TCPStore  # type: ignore[attr-defined]

from fulmen_distributed import TorchCollectives
from fulmen_interfaces import SupportsNotes

pytestmark = pytest.mark.skipif(not hasattr(TCPStore, "clone"), reason="notes need a store of torch 2.8 or newer")


def test_each_board_is_new_and_the_same_for_all() -> None:
    host = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    guest = TCPStore("127.0.0.1", host.port, is_master=False, wait_for_workers=False)
    ranks = [TorchCollectives(store=PrefixStore("run", store), timeout=timedelta(seconds=5)) for store in (host, guest)]
    first, second = (rank.notes() for rank in ranks)
    assert first is not None
    assert second is not None
    assert second.found("key") is None
    first.leave("key", "text")
    assert second.found("key") == "text"
    assert all(board is not None and board.found("key") is None for board in (rank.notes() for rank in ranks))


def test_a_note_can_be_left_while_the_store_is_waited_on() -> None:
    host = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    collectives = TorchCollectives(store=host, timeout=timedelta(seconds=30))
    notes = collectives.notes()
    assert notes is not None
    done = threading.Event()

    def wait() -> None:
        try:
            host.wait(["never"], timedelta(seconds=3))
        except DistStoreError:
            done.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    notes.leave("key", "text")
    assert notes.found("key") == "text"
    assert not done.is_set()
    waiting.join()


def test_collectives_that_met_elsewhere_have_no_board() -> None:
    collectives = TorchCollectives(timeout=timedelta(seconds=5))
    assert isinstance(collectives, SupportsNotes)
    assert collectives.notes() is None
