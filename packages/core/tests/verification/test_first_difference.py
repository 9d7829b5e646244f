"""Comparing states bit for bit."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from fulmen_core.verification import first_difference

NAN = float("nan")
ONE_MORE = math.nextafter(1.0, 2.0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": [1, 2.5, "x", None]}, {"a": [1, 2.5, "x", None]}),
        (NAN, NAN),
        (torch.tensor([1.0, NAN]), torch.tensor([1.0, NAN])),
        (torch.tensor(1 + 2j), torch.tensor(1 + 2j)),
        (torch.tensor([True, False]), torch.tensor([True, False])),
        (torch.empty(0, 3), torch.empty(0, 3)),
        (torch.arange(6).reshape(2, 3).T, torch.arange(6).reshape(2, 3).T.contiguous()),
        (torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bfloat16)),
        (torch.ones(2, requires_grad=True), torch.ones(2)),
    ],
)
def test_what_has_the_same_bits_is_the_same(one: Any, other: Any) -> None:
    assert first_difference(one, other, "state") is None


@pytest.mark.parametrize(
    ("expected", "found", "name", "reason"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "state b", "2 was expected, 3 came out"),
        ({"a": 1}, {}, "state a", "1 was expected, nothing came out"),
        ({}, {"a": 1}, "state a", "nothing was expected, 1 came out"),
        ([1, [2, 3]], [1, [2, 4]], "state[1][1]", "3 was expected, 4 came out"),
        ([1], [1, 2], "state", "1 entries were expected, 2 came out"),
        (1.0, ONE_MORE, "state", "1.0000000000000002 came out"),
        (0.0, -0.0, "state", "0.0 was expected, -0.0 came out"),
        (1, 1.0, "state", "1 was expected, 1.0 came out"),
        (True, 1, "state", "True was expected, 1 came out"),
        (torch.zeros(2), torch.zeros(3), "state", "shape (2,) was expected"),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64), "state", "torch.float64"),
        (torch.zeros(1), -torch.zeros(1), "state", "1 of 1 values differ"),
        (torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.5, 3.5]), "state", "2 of 3 values differ"),
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.5]), "state", "2.0 and 2.5; they differ by 0.5 at most"),
    ],
)
def test_the_first_place_that_differs_is_named(expected: Any, found: Any, name: str, reason: str) -> None:
    difference = first_difference(expected, found, "state")
    assert difference is not None
    assert difference.name == name
    assert reason in difference.reason
    assert str(difference) == f"{name}: {difference.reason}"
