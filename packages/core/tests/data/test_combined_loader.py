"""CombinedLoader: what it gives in each mode, and how long it is."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Iterator
from typing import Any

import pytest

from fulmen_core.data import CombinedLoader
from fulmen_interfaces import ConfigurationError

Pair = namedtuple("Pair", ["left", "right"])

# What a dict of a loader of three and one of five batches gives.
EXPECTED: dict[str, list[Any]] = {
    "min_size": [("a0", "b0"), ("a1", "b1"), ("a2", "b2")],
    "max_size_cycle": [("a0", "b0"), ("a1", "b1"), ("a2", "b2"), ("a0", "b3"), ("a1", "b4")],
    "max_size": [("a0", "b0"), ("a1", "b1"), ("a2", "b2"), (None, "b3"), (None, "b4")],
}


def letters(letter: str, count: int) -> list[str]:
    return [f"{letter}{number}" for number in range(count)]


class Endless:
    def __iter__(self) -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1


@pytest.mark.parametrize("mode", EXPECTED)
def test_reads_a_batch_of_each(mode: str) -> None:
    loader = CombinedLoader({"a": letters("a", 3), "b": letters("b", 5)}, mode)
    expected = [({"a": one, "b": other}, number, 0) for number, (one, other) in enumerate(EXPECTED[mode])]
    assert list(loader) == expected
    assert list(loader) == expected
    assert len(loader) == len(expected)


def test_reads_one_after_the_other() -> None:
    loader = CombinedLoader([letters("a", 2), [], letters("b", 3)], "sequential")
    expected = [("a0", 0, 0), ("a1", 1, 0), ("b0", 0, 2), ("b1", 1, 2), ("b2", 2, 2)]
    assert list(loader) == expected
    assert len(loader) == 5


def test_shortest_first_is_the_default() -> None:
    assert len(CombinedLoader([letters("a", 2), letters("b", 3)])) == 2


@pytest.mark.parametrize(
    ("mode", "length"), [("min_size", 0), ("max_size_cycle", 0), ("max_size", 2), ("sequential", 2)]
)
def test_an_empty_one_among_them(mode: str, length: int) -> None:
    assert len(list(CombinedLoader([letters("a", 2), []], mode))) == length


def test_no_loaders_give_nothing() -> None:
    assert list(CombinedLoader([], "max_size")) == []


def test_a_single_loader_is_not_nested() -> None:
    loader = CombinedLoader(letters("a", 2), "max_size_cycle")
    assert list(loader) == [("a0", 0, 0), ("a1", 1, 0)]
    assert loader.flattened == [["a0", "a1"]]


def test_batches_have_the_nesting_of_the_loaders() -> None:
    nested = [{"x": letters("a", 2)}, (letters("b", 2), Pair(letters("c", 1), OrderedDict(y=letters("d", 1))))]
    loader = CombinedLoader(nested)
    assert list(loader) == [([{"x": "a0"}, ("b0", Pair("c0", OrderedDict(y="d0")))], 0, 0)]
    assert loader.flattened == [["a0", "a1"], ["b0", "b1"], ["c0"], ["d0"]]
    assert loader.iterables == nested
    factory = CombinedLoader(defaultdict(list, x=letters("a", 1)))
    (batch, _, _) = next(iter(factory))
    assert batch == {"x": "a0"}
    assert isinstance(batch, defaultdict)


def test_other_iterables_can_take_their_places() -> None:
    loader = CombinedLoader({"a": letters("a", 1), "b": letters("b", 1)})
    loader.flattened = [letters("c", 1), letters("d", 1)]
    assert list(loader) == [({"a": "c0", "b": "d0"}, 0, 0)]
    assert loader.iterables == {"a": ["c0"], "b": ["d0"]}
    with pytest.raises(ValueError, match="2 iterables, so 1"):
        loader.flattened = [[]]


@pytest.mark.parametrize(
    ("mode", "length"), [("min_size", 1), ("max_size_cycle", 4), ("max_size", 4), ("sequential", 5)]
)
def test_limits_bound_the_length(mode: str, length: int) -> None:
    loader = CombinedLoader([letters("a", 3), letters("b", 5)], mode)
    loader.limits = [1, 4]
    assert len(loader) == length
    loader.limits = 2
    assert loader.limits == [2, 2]
    with pytest.raises(ValueError, match="3 limits for 2"):
        loader.limits = [1, 2, 3]


def test_limits_end_a_sequence() -> None:
    loader = CombinedLoader([letters("a", 3), letters("b", 3), letters("c", 3)], "sequential")
    loader.limits = [1, 0, 2]
    assert list(loader) == [("a0", 0, 0), ("c0", 0, 2), ("c1", 1, 2)]


def test_lengths_that_are_not_known() -> None:
    assert len(CombinedLoader([Endless(), letters("a", 2)], "min_size")) == 2
    assert [batch for batch, _, _ in CombinedLoader([Endless(), letters("a", 2)])] == [[0, "a0"], [1, "a1"]]
    for mode in ("max_size", "max_size_cycle", "sequential"):
        with pytest.raises(TypeError, match="not known"):
            len(CombinedLoader([Endless(), letters("a", 2)], mode))


def test_two_passes_at_a_time_do_not_disturb_each_other() -> None:
    loader = CombinedLoader([letters("a", 2)], "sequential")
    one, other = iter(loader), iter(loader)
    assert next(one) == next(other) == ("a0", 0, 0)
    assert next(one) == next(other) == ("a1", 1, 0)


def test_unknown_modes_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'max_size'"):
        CombinedLoader([], "max_sise")
