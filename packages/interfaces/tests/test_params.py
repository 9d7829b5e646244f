from __future__ import annotations

import argparse
import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType

import pytest

from fulmen_interfaces import flat_params, plain_params


class Colour(Enum):
    RED = "red"


class Size(str, Enum):
    BIG = "big"


@dataclass
class Optimizer:
    name: str
    betas: tuple[float, float]


class Odd:
    def __str__(self) -> str:
        return "odd"


class LoudInt(int):
    pass


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (0, 0),
        (True, True),
        (None, None),
        (1.5, 1.5),
        ("x", "x"),
        (LoudInt(0), 0),
        (Colour.RED, "red"),
        (Size.BIG, "big"),
        (Path("/a/b"), "/a/b"),
        ((1, (2, 3)), [1, [2, 3]]),
        ({3, 1, 2}, [1, 2, 3]),
        (range(3), [0, 1, 2]),
        (Optimizer("adam", (0.9, 0.99)), {"name": "adam", "betas": [0.9, 0.99]}),
        (OrderedDict(a=MappingProxyType({1: Path("x")})), {"a": {"1": "x"}}),
        (len, "len"),
        (math.sqrt, "math.sqrt"),
        (Path, "pathlib.Path"),
        (Odd(), "odd"),
        (b"ab", "b'ab'"),
    ],
)
def test_values_become_plain(value: object, expected: object) -> None:
    plain = plain_params({"x": value})["x"]
    assert plain == expected
    assert type(plain) is type(expected)
    assert json.loads(json.dumps(plain)) == expected


def test_params_may_be_namespaces_dataclasses_and_nothing() -> None:
    assert plain_params(argparse.Namespace(a=1)) == {"a": 1}
    assert plain_params(Optimizer("sgd", (0.0, 0.0))) == {"name": "sgd", "betas": [0.0, 0.0]}
    assert plain_params(None) == {}


def test_numbers_of_other_libraries_become_built_in_ones() -> None:
    from decimal import Decimal
    from fractions import Fraction

    plain = plain_params({"half": Fraction(1, 2), "text": Decimal("1.5")})
    assert plain["half"] == 0.5
    assert plain["text"] == "1.5"


def test_flat_names_are_joined() -> None:
    nested = {"a": {"b": {"c": 1}, "d": [1, {"e": 2}]}, "f": {}}
    assert flat_params(nested) == {"a/b/c": 1, "a/d": [1, {"e": 2}]}
    assert flat_params({"a": {"b": 1}}, separator=".") == {"a.b": 1}
