"""Checkpoints written while the program goes on."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from sharded_cases import Module, fit

from fulmen_core import AsyncCheckpointIO, TorchCheckpointIO, Trainer
from fulmen_interfaces import CheckpointError, CheckpointIO, CheckpointIOSpec
from fulmen_testing import CheckpointIOConformance


class TestConformance(CheckpointIOConformance):
    spec = CheckpointIOSpec(name="async", create=AsyncCheckpointIO, summary="Writes in a thread.")


class Slow:
    """Waits for permission before it writes."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self._files = TorchCheckpointIO()

    def save(self, checkpoint: Mapping[str, Any], path: str, *, storage_options: Any = None) -> None:
        assert self.gate.wait(60)
        self._files.save(checkpoint, path)

    def load(self, path: str, *, map_location: Any = None, weights_only: bool = True) -> dict[str, Any]:
        return self._files.load(path)

    def remove(self, path: str) -> None:
        self._files.remove(path)

    def teardown(self) -> None:
        pass


@pytest.fixture
def slow() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.gate.set()


def test_what_changes_after_saving_is_not_written(slow: Slow, tmp_path: Path) -> None:
    io = AsyncCheckpointIO(slow)
    assert isinstance(io, CheckpointIO)
    weight = torch.ones(3)
    io.save({"state": {"w": weight}, "list": [weight]}, str(tmp_path / "x.ckpt"))
    weight.zero_()
    assert not (tmp_path / "x.ckpt").exists()
    slow.gate.set()
    loaded = io.load(str(tmp_path / "x.ckpt"))
    assert torch.equal(loaded["state"]["w"], torch.ones(3))
    assert torch.equal(loaded["list"][0], torch.ones(3))


def test_removing_waits_for_writing(slow: Slow, tmp_path: Path) -> None:
    io = AsyncCheckpointIO(slow)
    io.save({"epoch": 1}, str(tmp_path / "x.ckpt"))
    slow.gate.set()
    io.remove(str(tmp_path / "x.ckpt"))
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_raised_by_the_next_call(tmp_path: Path) -> None:
    io = AsyncCheckpointIO()
    (tmp_path / "file").touch()
    bad = str(tmp_path / "file" / "x.ckpt")
    io.save({"epoch": 1}, bad)
    with pytest.raises(CheckpointError, match=r"x\.ckpt cannot be written"):
        io.wait()
    io.wait()
    io.save({"epoch": 1}, bad)
    with pytest.raises(CheckpointError, match=r"x\.ckpt cannot be written"):
        io.teardown()
    io.save({"epoch": 2}, str(tmp_path / "y.ckpt"))
    io.teardown()
    assert torch.load(tmp_path / "y.ckpt")["epoch"] == 2


def test_it_goes_along_to_other_processes(tmp_path: Path) -> None:
    io = AsyncCheckpointIO()
    io.save({"epoch": 1}, str(tmp_path / "x.ckpt"))
    other = pickle.loads(pickle.dumps(io))
    other.save({"epoch": 2}, str(tmp_path / "y.ckpt"))
    other.teardown()
    io.teardown()
    assert {one.name for one in tmp_path.iterdir()} == {"x.ckpt", "y.ckpt"}


def trained(module: Module, io: CheckpointIO, path: Path, **arguments: Any) -> None:
    trainer = Trainer(accelerator="cpu", plugins=[io], logger=False, enable_progress_bar=False, **arguments)
    trainer.fit(module, [(torch.ones(2, 3), torch.ones(2))] * 3)


def test_a_run_is_over_when_all_is_written_and_raises_what_was_not(tmp_path: Path) -> None:
    class Saving(Module):
        target = tmp_path / "x.ckpt"

        def on_train_end(self) -> None:
            self.trainer.save_checkpoint(self.target)

    module = Saving()
    settings = {"max_epochs": 1, "enable_checkpointing": False, "enable_model_summary": False}
    trained(module, AsyncCheckpointIO(), tmp_path, **settings)
    assert torch.equal(torch.load(tmp_path / "x.ckpt")["state_dict"]["body.weight"], module.body.weight)
    Saving.target = tmp_path / "x.ckpt" / "y.ckpt"
    with pytest.raises(CheckpointError, match=r"y\.ckpt cannot be written"):
        trained(Saving(), AsyncCheckpointIO(), tmp_path, **settings)


def test_directories_are_there_at_once(tmp_path: Path) -> None:
    trainer = fit(Module(), steps=1, kind="sharded")
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    assert (tmp_path / "x.ckpt" / "meta.pt").exists()
