import argparse
import datetime
import enum
import functools
import io
import subprocess
import sys
import textwrap
from collections import Counter, OrderedDict, namedtuple
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import SimpleNamespace
from uuid import UUID

import pytest
import torch
from torch import nn

from fulmen_core.hparams import AttributeDict, decode_hparams, encode_hparams


class Activation(str, enum.Enum):
    RELU = "relu"


class Mode(enum.Enum):
    FAST = object()
    SLOW = (1, 2)


class Flags(enum.Flag):
    A = 1
    B = 2


class Outer:
    class Inner(enum.IntEnum):
        ONE = 1


@dataclass
class Optim:
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    where: Path = Path("runs")


@dataclass(frozen=True)
class Config:
    optim: Optim = field(default_factory=Optim)
    act: Activation = Activation.RELU
    sizes: list[int] = field(default_factory=lambda: [1, 2])


@dataclass(frozen=True, slots=True)
class Slotted:
    a: int = 1


@dataclass
class Counting:
    a: int
    made = 0

    def __post_init__(self):
        type(self).made += 1
        self.not_a_field = "kept"


Point = namedtuple("Point", "x y")


def through_a_file(values):
    """Store as a checkpoint would, and read as one is read safely."""
    encoded = encode_hparams(values)
    assert encoded.left_out == {}
    file = io.BytesIO()
    torch.save({"values": encoded.values, "notes": encoded.notes}, file)
    file.seek(0)
    read = torch.load(file, weights_only=True)
    decoded = decode_hparams(read["values"], read["notes"])
    assert decoded.failed == {}
    return decoded.values


VALUES = {
    "none": None,
    "int": 10**30,
    "complex": 1 + 2j,
    "bytes": b"x",
    "dtype": torch.bfloat16,
    "device": torch.device("cpu"),
    "size": torch.Size([1, 2]),
    "layout": torch.strided,
    "memory_format": torch.channels_last,
    "path": Path("a") / "b",
    "pure": PurePosixPath("/a"),
    "windows": PureWindowsPath("c:\\a"),
    "enum": Activation.RELU,
    "enum by name": Mode.FAST,
    "enum of tuple": Mode.SLOW,
    "nested enum": Outer.Inner.ONE,
    "flags": Flags.A | Flags.B,
    "dataclass": Config(),
    "slots": Slotted(3),
    "namedtuple": Point(1, Path("p")),
    "set": {1, 2},
    "set of paths": {Path("a"), Path("b")},
    "frozenset": frozenset({"a"}),
    "range": range(1, 9, 2),
    "slice": slice(None, 3),
    "ordered": OrderedDict(b=1, a=Path("x")),
    "counter": Counter("aab"),
    "attributes": AttributeDict(a=AttributeDict(b=1)),
    "namespace": argparse.Namespace(a=1, b=argparse.Namespace(c=Path("x"))),
    "simple": SimpleNamespace(a=[SimpleNamespace(b=1)]),
    "datetime": datetime.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=datetime.timezone.utc),
    "date": datetime.date(2024, 2, 29),
    "time": datetime.time(1, 2),
    "timedelta": datetime.timedelta(days=-1, seconds=3, microseconds=5),
    "decimal": Decimal("1.10"),
    "fraction": Fraction(1, 3),
    "uuid": UUID(int=7),
    "module class": nn.ReLU,
    "optimizer class": torch.optim.AdamW,
    "keys": {Path("a"): 1, Activation.RELU: {2: [Path("b")]}, ("x", 1): 3},
    "nested": {"a": [({"b": Path("c")},)]},
}


def in_order(value):
    """What `repr` gives, which tells types apart; sets come in any order."""
    return sorted(map(repr, value)) if isinstance(value, (set, frozenset)) else repr(value)


@pytest.mark.parametrize("name", VALUES)
def test_values_come_back_equal_and_of_the_same_types(name):
    value = VALUES[name]
    back = through_a_file({"it": value, "other": 1})["it"]
    assert back == value
    assert in_order(back) == in_order(value)
    assert type(back) is type(value)


def test_numpy_values_come_back():
    numpy = pytest.importorskip("numpy")
    values = {
        "scalar": numpy.float32(0.1),
        "flag": numpy.bool_(True),
        "text": numpy.str_("a"),
        "array": numpy.arange(6, dtype="int16").reshape(2, 3),
        "dtype": numpy.dtype("float64"),
    }
    back = through_a_file(values)
    for name in ("scalar", "flag", "text", "dtype"):
        assert type(back[name]) is type(values[name])
        assert back[name] == values[name]
    assert back["array"].dtype == numpy.int16
    assert (back["array"] == values["array"]).all()


def test_omegaconf_containers_come_back():
    omegaconf = pytest.importorskip("omegaconf")
    config = omegaconf.OmegaConf.create({"a": 1, "b": ["${a}", 2]})
    back = through_a_file({"config": config})["config"]
    assert isinstance(back, omegaconf.DictConfig)
    assert back.b[0] == 1
    assert omegaconf.OmegaConf.to_container(back, resolve=False) == {"a": 1, "b": ["${a}", 2]}


def test_tensors_are_stored_without_their_graph():
    weight = torch.ones(2, requires_grad=True)
    back = through_a_file({"leaf": nn.Parameter(torch.ones(1)), "result": weight * 2})
    assert isinstance(back["leaf"], nn.Parameter)
    assert back["result"].tolist() == [2.0, 2.0]
    assert not back["result"].requires_grad


def test_plain_values_are_stored_as_they_are_and_others_as_the_nearest_plain_value():
    plain = {"lr": 0.1, "layers": [1, {"a": (None, "b")}]}
    assert encode_hparams(plain).values == plain
    assert encode_hparams(plain).notes == []
    nearest = encode_hparams({"root": Path("a"), "act": Activation.RELU, "config": Optim(), "ids": {1}})
    assert nearest.values == {
        "root": "a",
        "act": "relu",
        "config": {"lr": 0.1, "betas": (0.9, 0.99), "where": "runs"},
        "ids": [1],
    }
    assert type(nearest.values["act"]) is str


def test_an_edited_value_is_what_comes_back():
    encoded = encode_hparams({"root": Path("a"), "config": Optim()})
    encoded.values["root"] = "elsewhere"
    encoded.values["config"]["lr"] = 0.5
    back = decode_hparams(encoded.values, encoded.notes).values
    assert back == {"root": Path("elsewhere"), "config": Optim(lr=0.5)}


def test_a_dataclass_comes_back_without_running_its_code():
    original = Counting(1)
    made = Counting.made
    back = through_a_file({"it": original})["it"]
    assert Counting.made == made
    assert (back.a, back.not_a_field) == (1, "kept")


def test_fields_that_a_dataclass_has_gained_get_their_defaults():
    encoded = encode_hparams({"it": Config()})
    del encoded.values["it"]["sizes"], encoded.values["it"]["optim"]["lr"]
    assert decode_hparams(encoded.values, encoded.notes).values == {"it": Config()}


def local_dataclass():
    @dataclass
    class Local:
        a: int = 1

    return Local()


def cyclic():
    knot = []
    knot.append(knot)
    return knot


UNSTORABLE = {
    "module": nn.Linear(1, 1),
    "function": nn.functional.relu,
    "lambda": lambda x: x,
    "method": nn.Linear(1, 1).forward,
    "partial": functools.partial(torch.optim.SGD, lr=1),
    "open file": io.StringIO(),
    "generator": (i for i in range(3)),
    "object": object(),
    "builtin class": dict,
    "local class": local_dataclass(),
    "cycle": cyclic(),
    "dataclass that holds a function": Counting(len),
    "nested": {"a": [1, {"b": print}]},
}


@pytest.mark.parametrize("name", UNSTORABLE)
def test_what_cannot_be_stored_is_left_out_by_name(name):
    encoded = encode_hparams({"it": UNSTORABLE[name], "other": Path("x")})
    assert encoded.values == {"other": "x"}
    assert list(encoded.left_out) == ["it"]
    decoded = decode_hparams(encoded.values, encoded.notes)
    assert decoded.values == {"other": Path("x")}
    assert "left out" in decoded.failed["it"]


class Registered:
    def __init__(self, a):
        self.a = a


def test_a_class_that_the_user_declared_safe_is_stored_as_it_is():
    assert "it" in encode_hparams({"it": Registered(1)}).left_out
    with torch.serialization.safe_globals([Registered]):
        assert through_a_file({"it": Registered(3)})["it"].a == 3
        assert "it" in encode_hparams({"it": Registered(print)}).left_out


def note(kind, of=""):
    return [{"at": ["it"], "kind": kind, "of": of}]


@pytest.mark.parametrize(
    ("value", "notes", "reason"),
    [
        ({}, note("dataclass", "not_imported.anywhere:Thing"), "not imported"),
        ({}, note("dataclass", f"{__name__}:Gone"), "no class Gone"),
        ({}, note("dataclass", "subprocess:Popen"), "no dataclass"),
        ({}, note("enum", "subprocess:Popen"), "no enum"),
        ([1], note("namedtuple", "subprocess:Popen"), "no named tuple"),
        ("x", note("class", "subprocess:Popen"), "neither a module"),
        ("x", note("class", "os:system"), "no class system"),
        ("purple", note("enum", f"{__name__}:Activation"), "no Activation any more"),
        ({"b": 1}, note("dataclass", f"{__name__}:Counting"), "has no values for: a"),
        ("torch.save", note("memory_format"), "no memory format"),
        ("x", note("date"), "is no date"),
        (1, note("of a later version"), "does not know"),
    ],
)
def test_what_cannot_be_made_again_is_told_and_nothing_foreign_is_called(value, notes, reason):
    decoded = decode_hparams({"it": value, "other": 1}, notes)
    assert decoded.values == {"other": 1}
    assert reason in decoded.failed["it"]


def test_no_module_is_imported_for_a_file(tmp_path, monkeypatch):
    (tmp_path / "hparams_bait.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    decoded = decode_hparams({"it": {}}, note("dataclass", "hparams_bait:Thing"))
    assert "hparams_bait, which is not imported" in decoded.failed["it"]


def test_a_script_writes_what_another_program_reads_by_the_scripts_module(tmp_path):
    script = tmp_path / "hparams_script.py"
    script.write_text(
        textwrap.dedent(
            """
            from dataclasses import dataclass
            import torch
            from fulmen_core.hparams import encode_hparams

            @dataclass
            class Config:
                a: int = 1

            if __name__ == "__main__":
                encoded = encode_hparams({"config": Config(5)})
                torch.save([encoded.values, encoded.notes], "out.pt")
            """
        )
    )
    reader = (
        "import torch, hparams_script; from fulmen_core.hparams import decode_hparams\n"
        "values, notes = torch.load('out.pt', weights_only=True)\n"
        "back = decode_hparams(values, notes, home='hparams_script').values\n"
        "assert back == {'config': hparams_script.Config(5)}, back\n"
        "assert 'config' in decode_hparams(values, notes).failed"
    )
    subprocess.run([sys.executable, script.name], cwd=tmp_path, check=True, timeout=120)
    subprocess.run([sys.executable, "-c", reader], cwd=tmp_path, check=True, timeout=120)
