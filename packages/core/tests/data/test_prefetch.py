"""The order in which batches are read, copied, waited for and given. What it saves needs a device with streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch

from fulmen_core.data import DevicePrefetch, prefetch_to_device
from fulmen_interfaces import SupportsAsyncTransfer

DEVICE = torch.device("meta")


class Streams:
    """Writes down what is asked for."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @contextmanager
    def _stream(self) -> Iterator[None]:
        self.log.append("copy stream")
        yield
        self.log.append("compute stream")

    def copy_stream(self, device: torch.device) -> AbstractContextManager[Any]:
        return self._stream()

    def wait_for_copies(self, device: torch.device) -> None:
        self.log.append("wait")

    def keep_alive(self, tensor: torch.Tensor) -> None:
        self.log.append(f"keep {tensor.shape[0]}")


def run(count: int) -> list[str]:
    streams = Streams()
    assert isinstance(streams, SupportsAsyncTransfer)

    def batches() -> Iterator[Any]:
        for number in range(1, count + 1):
            streams.log.append(f"read {number}")
            yield {"x": torch.ones(number), "stays": torch.ones(99)}

    def move(batch: Any) -> Any:
        streams.log.append(f"copy {batch['x'].shape[0]}")
        return {**batch, "x": batch["x"].to(DEVICE)}

    for batch in prefetch_to_device(batches(), DevicePrefetch(move, streams, DEVICE)):
        assert batch["x"].device == DEVICE
        streams.log.append(f"use {batch['x'].shape[0]}")
    return streams.log


def test_the_next_copy_is_issued_before_a_batch_is_used_and_after_computing_waits_for_its_own() -> None:
    def copied(number: int) -> list[str]:
        return ["copy stream", f"copy {number}", "compute stream"]

    assert run(3) == [
        *("read 1", *copied(1)),
        *("read 2", "wait", "keep 1", *copied(2), "use 1"),
        *("read 3", "wait", "keep 2", *copied(3), "use 2"),
        *("wait", "keep 3", "use 3"),
    ]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_every_batch_is_given_once(count: int) -> None:
    assert [line for line in run(count) if line.startswith("use")] == [f"use {number + 1}" for number in range(count)]
