"""Checkpoint directories that are damaged, half there, or of something else."""

from __future__ import annotations

import os
import pickle
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import torch
from sharded_cases import Module, fit

from fulmen_core import TorchCheckpointIO
from fulmen_interfaces import CheckpointError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A checkpoint of three steps."""
    path = tmp_path / "some.ckpt"
    fit(Module(), steps=3, kind="sharded").save_checkpoint(path)
    return path


@pytest.mark.parametrize("name", [".metadata", "__0_0.distcp", "meta.pt"])
def test_what_is_missing_is_named(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(CheckpointError, match=f"the directory is incomplete, it lacks {name}") as caught:
        fit(Module(), steps=4, load=directory)
    assert caught.value.path == str(directory)


def test_a_file_that_is_cut_short_is_named(directory: Path) -> None:
    content = (directory / "__0_0.distcp").read_bytes()
    (directory / "__0_0.distcp").write_bytes(content[:-100])
    with pytest.raises(CheckpointError, match=r"it lacks the end of __0_0\.distcp"):
        Module.load_from_checkpoint(directory)


def test_a_directory_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint, for it has neither \.metadata nor meta\.pt"):
        fit(Module(), steps=1, load=tmp_path)


def test_damage_is_found_before_anything_is_loaded(directory: Path) -> None:
    file = directory / "__0_0.distcp"
    content = bytearray(file.read_bytes())
    weight = TorchCheckpointIO().load(str(directory))["state_dict"]["body.weight"]
    place = content.index(weight.numpy().tobytes())
    content[place] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match=r"of __0_0\.distcp is damaged"):
        fit(Module(), steps=4, load=directory)


def test_no_code_runs_that_a_table_refers_to(directory: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "broken_in"),)

    (directory / ".metadata").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError, match=r"refers to posix\.mkdir|refers to nt\.mkdir"):
        fit(Module(), steps=4, load=directory)
    assert not (tmp_path / "broken_in").exists()


class EarlyPickler(pickle.Pickler):
    """Writes members of an enum as Python 3.11.0 to 3.11.3 do."""

    def reducer_override(self, obj: Any) -> Any:
        return (getattr, (type(obj), obj.name)) if isinstance(obj, Enum) else NotImplemented


def test_a_table_that_an_early_python_3_11_wrote_is_read(directory: Path) -> None:
    table = directory / ".metadata"
    before = table.read_bytes()
    with table.open("wb") as file:
        EarlyPickler(file).dump(pickle.loads(before))
    assert b"getattr" in table.read_bytes()
    weights = TorchCheckpointIO().load(str(directory))["state_dict"]
    table.write_bytes(before)
    again = TorchCheckpointIO().load(str(directory))["state_dict"]
    assert all(torch.equal(weights[name], again[name]) for name in again)


def test_a_table_names_members_of_enums_and_no_other_attribute(directory: Path) -> None:
    class Reaching:
        def __reduce__(self) -> Any:
            return getattr, (torch.Size, "__new__")

    (directory / ".metadata").write_bytes(pickle.dumps(Reaching()))
    with pytest.raises(CheckpointError, match="no member of an enum"):
        fit(Module(), steps=4, load=directory)


def test_weights_that_do_not_fit_are_named(directory: Path) -> None:
    with pytest.raises(CheckpointError, match=r"do not fit Module: .*size mismatch for body\.weight"):
        fit(Module(width=5), steps=4, load=directory)


def test_groups_that_do_not_fit_are_named(directory: Path) -> None:
    class Fewer(Module):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(self.body.parameters(), lr=0.01)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    with pytest.raises(CheckpointError, match=r"other parameters than were saved: head\.bias, head\.weight"):
        fit(Fewer(), steps=4, load=directory)
