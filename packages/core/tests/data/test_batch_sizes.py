"""How many samples a batch has."""

from __future__ import annotations

import warnings
from collections import UserDict, namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy
import pytest
import torch

from fulmen_core.data import BatchSizes
from fulmen_interfaces import LoggingError

Pair = namedtuple("Pair", ["left", "right"])


@dataclass
class Record:
    name: str
    values: torch.Tensor


class Pairs:
    """Neither a list nor a dict."""

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter([("name", "x"), ("values", torch.ones(3))])


BATCHES: dict[str, Any] = {
    "tensor": torch.ones(3, 2),
    "list": [torch.ones(3), torch.ones(3, 4)],
    "tuple": ("text", torch.ones(3)),
    "named tuple": Pair(None, torch.ones(3)),
    "dict": {"name": "xyzw", "values": torch.ones(3)},
    "mapping": UserDict({"values": torch.ones(3)}),
    "dataclass": Record("x", torch.ones(3)),
    "nested": {"a": {"b": [(), (1, torch.ones(3))]}},
    "scalar first": (torch.tensor(1.0), torch.ones(3)),
    "array beside": (numpy.ones(7), torch.ones(3)),
    "iterable": Pairs(),
}


@pytest.mark.parametrize("name", BATCHES)
def test_is_the_first_dimension_of_the_first_tensor(name: str) -> None:
    sizes = BatchSizes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [sizes.of(BATCHES[name]) for _ in range(3)] == [3, 3, 3]


def test_is_that_of_each_batch() -> None:
    sizes = BatchSizes()
    assert [sizes.of({"x": torch.ones(count, 2)}) for count in (4, 4, 1, 7)] == [4, 4, 1, 7]
    assert [sizes.of(torch.ones(count, 2)) for count in (4, 1)] == [4, 1]


def test_batches_of_one_type_may_be_built_in_different_ways() -> None:
    sizes = BatchSizes()
    batches: list[Any] = [
        {"x": torch.ones(2)},
        {"y": torch.ones(3)},
        {"x": "text", "z": torch.ones(4)},
        {"x": torch.tensor(1.0), "z": torch.ones(5)},
        {"x": [torch.ones(6)]},
    ]
    assert [sizes.of(batch) for batch in batches] == [2, 3, 4, 5, 6]


def test_what_came_in_the_place_of_an_absent_tensor_is_not_remembered() -> None:
    sizes = BatchSizes()
    batches: list[Any] = [
        {"a": None, "b": torch.ones(2)},
        {"a": torch.ones(3), "b": torch.ones(2)},
        {"a": None, "b": torch.ones(4)},
        {"a": [torch.tensor(1.0), torch.ones(5)], "b": torch.ones(2)},
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that tensors disagree
        assert [sizes.of(batch) for batch in batches] == [2, 3, 4, 5]


def test_tensors_without_dimensions_count_as_one() -> None:
    assert BatchSizes().of((torch.tensor(1.0), torch.tensor(2.0))) == 1


@pytest.mark.parametrize("batch", [[], None, "text", ["a", "b"], [1, 2], numpy.ones(3), {1, 2}, iter([torch.ones(3)])])
def test_a_batch_without_tensors_is_an_error(batch: Any) -> None:
    with pytest.raises(LoggingError, match=r"batch_size=\.\.\."):
        BatchSizes().of(batch)


def test_says_once_that_tensors_disagree() -> None:
    sizes = BatchSizes()
    with pytest.warns(UserWarning, match=r"\[2, 3\]"):
        assert sizes.of([torch.ones(2), torch.ones(3)]) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sizes.of((torch.ones(4), torch.ones(3))) == 4
