"""How many batches a limit leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from fulmen_core.data import batches_under_limit, length_of
from fulmen_interfaces import ConfigurationError

INF = float("inf")


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(5))


class SizedStream(Stream):
    def __len__(self) -> int:
        return 5


# Length, limit, and the batches that Lightning 2.6 was seen to run.
@pytest.mark.parametrize(
    ("length", "limit", "expected"),
    [
        (10, 0.29, 2),
        (100, 0.29, 28),
        (10, 0.99, 9),
        (10, 1.0, 10),
        (10, 1, 1),
        (10, 0, 0),
        (10, 0.0, 0),
        (10, 20, 10),
        (3, 0.34, 1),
        (0, 1.0, 0),
        (0, 5, 0),
        (0, 0.5, 0),
        (INF, 1.0, INF),
        (INF, 0.0, 0),
        (INF, 3, 3),
    ],
)
def test_counts_as_lightning_does(length: Any, limit: Any, expected: Any) -> None:
    assert batches_under_limit(length, limit, "limit_train_batches") == expected


@pytest.mark.parametrize(("length", "limit"), [(10, 0.05), (3, 0.33)])
def test_a_share_of_less_than_a_batch_is_refused(length: int, limit: float) -> None:
    with pytest.raises(ConfigurationError, match="less than one batch") as caught:
        batches_under_limit(length, limit, "limit_val_batches")
    assert caught.value.problems[0].argument == "limit_val_batches"


def test_the_share_that_is_proposed_works() -> None:
    for length in range(1, 200):
        with pytest.raises(ConfigurationError) as caught:
            batches_under_limit(length, 0.5 / length, "limit_val_batches")
        proposed = float(caught.value.problems[0].remedy.split()[3].rstrip(","))
        assert batches_under_limit(length, proposed, "limit_val_batches") == 1


def test_a_share_of_no_length_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="limit_test_batches=100"):
        batches_under_limit(INF, 0.5, "limit_test_batches")


def test_lengths() -> None:
    assert length_of(DataLoader(torch.ones(7), batch_size=2)) == 4  # type: ignore[arg-type]
    assert length_of(DataLoader(SizedStream(), batch_size=2)) == 3
    assert length_of(DataLoader(Stream())) == INF
    assert length_of([1, 2]) == 2
    assert length_of(iter([1, 2])) == INF
