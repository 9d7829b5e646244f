"""Moving batches. The device is `meta`: a tensor that was forgotten stays on the CPU."""

from __future__ import annotations

from collections import OrderedDict, UserDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from fulmen_core.batches import move_to_device, transfer_function

META = torch.device("meta")
Pair = namedtuple("Pair", ["left", "right"])


@dataclass(frozen=True)
class Frozen:
    values: torch.Tensor
    name: str = "x"
    more: list[torch.Tensor] = field(default_factory=list)


class Tokens(UserDict):  # type: ignore[type-arg]
    """A mapping that moves itself and returns itself."""

    def to(self, device: torch.device) -> Tokens:
        self.data = {name: value.to(device) for name, value in self.data.items()}
        return self


class InPlace:
    """Moves itself and returns nothing."""

    def __init__(self) -> None:
        self.values = torch.ones(2)

    def to(self, device: torch.device) -> None:
        self.values = self.values.to(device)


class Rows(list):  # type: ignore[type-arg]
    pass


def one() -> torch.Tensor:
    return torch.ones(2)


def test_moves_a_tensor() -> None:
    assert move_to_device(one(), META).device == META


@pytest.mark.parametrize(
    "batch",
    [[one()], (one(), "text"), Pair(one(), 3), {"x": one()}, OrderedDict(x=one()), UserDict(x=one()), Rows([one()])],
    ids=lambda batch: type(batch).__name__,
)
def test_keeps_the_type_and_leaves_the_original(batch: Any) -> None:
    moved = move_to_device(batch, META)
    assert type(moved) is type(batch)
    assert len(moved) == len(batch)
    first, original = (next(iter(each.values() if hasattr(each, "values") else each)) for each in (moved, batch))
    assert (first.device, original.device) == (META, torch.device("cpu"))


def test_keeps_what_is_beside_the_tensors() -> None:
    moved = move_to_device({"a": [one(), (1, "x", None)], "b": Pair(True, b"y")}, META)
    assert moved["a"][0].device == META
    assert (moved["a"][1], moved["b"]) == ((1, "x", None), Pair(True, b"y"))
    assert move_to_device(defaultdict(list, x=one()), META)["new"] == []


def test_moves_dataclasses() -> None:
    batch = Frozen(one(), more=[one()])
    moved = move_to_device(batch, META)
    assert (moved.values.device, moved.more[0].device, moved.name) == (META, META, "x")
    assert batch.values.device.type == batch.more[0].device.type == "cpu"


def test_objects_move_themselves() -> None:
    packed = pack_padded_sequence(torch.ones(3, 2), torch.tensor([3, 1]))
    moved = move_to_device([packed, Tokens(x=one()), InPlace()], META)
    assert isinstance(moved[0], PackedSequence)
    assert [moved[0].data.device, moved[1]["x"].device, moved[2].values.device] == [META, META, META]


def test_objects_can_be_left_where_they_are() -> None:
    move = transfer_function(META, objects=False)
    assert move is not None
    moved = move({"x": one(), "parts": [InPlace(), one()], "frozen": Frozen(one(), more=[one()])})
    assert (moved["x"].device, moved["parts"][1].device, moved["frozen"].more[0].device) == (META, META, META)
    assert moved["parts"][0].values.device.type == "cpu"


def test_nothing_moves_for_the_cpu() -> None:
    assert transfer_function(torch.device("cpu")) is None
    move = transfer_function(META)
    assert move is not None
    assert move([one()])[0].device == META
