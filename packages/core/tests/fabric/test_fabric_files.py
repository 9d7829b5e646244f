"""What a loop saves is a plain file, and a loop that loads it goes on as the first would have."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from fabric_cases import Net, cpu, differences, loader, sgd
from torch import nn
from torch.nn.functional import mse_loss

from fulmen_core import Fabric, TorchCheckpointIO
from fulmen_interfaces import CheckpointError, ConfigurationError


class Loop:
    """A model, its optimizer and scheduler, and what a loop knows of itself."""

    def __init__(self, fabric: Fabric, seed: int = 0) -> None:
        self.fabric, self.module = fabric, Net(seed)
        own = sgd(self.module)
        self.scheduler = torch.optim.lr_scheduler.StepLR(own, 2, gamma=0.5)
        model, optimizer, _ = fabric.setup(self.module, own, scheduler=self.scheduler)
        self.state: dict[str, Any] = {
            "model": model, "optimizer": optimizer, "scheduler": self.scheduler, "step": 0, "note": "begun",
        }  # fmt: skip

    def run(self, steps: int) -> None:
        batches = list(loader(40))
        for _ in range(steps):
            x, y = batches[self.state["step"]]
            self.fabric.backward(mse_loss(self.state["model"](x), y))
            self.state["optimizer"].step()
            self.state["optimizer"].zero_grad()
            self.scheduler.step()
            self.state["step"] += 1


@pytest.mark.parametrize("precision", ["32-true", "bf16-true", "16-mixed"])
def test_a_loop_goes_on_from_its_file_bit_for_bit(precision: str, tmp_path: Path) -> None:
    path = tmp_path / "sub" / "half.ckpt"
    whole, rest = Loop(cpu(precision=precision)), Loop(cpu(precision=precision), seed=5)
    whole.run(8)
    whole.fabric.save(path, whole.state)
    whole.run(8)
    assert rest.fabric.load(path, rest.state) == {}
    assert (rest.state["step"], rest.state["note"]) == (8, "begun")
    rest.run(8)
    assert differences(whole.module, rest.module) == []


def test_the_file_is_torchs_own(tmp_path: Path) -> None:
    loop = Loop(cpu(precision="16-mixed"))
    loop.run(2)
    loop.fabric.save(tmp_path / "a.ckpt", loop.state)
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert set(content) == {*loop.state, "MixedPrecision"}
    fresh = Net(3)
    fresh.load_state_dict(content["model"])
    assert differences(fresh, loop.module) == []
    sgd(fresh).load_state_dict(content["optimizer"])
    assert content["MixedPrecision"]["scale"] <= 2.0**16
    assert content["step"] == 2


def test_a_file_with_the_right_key_is_a_lightning_modules(tmp_path: Path) -> None:
    loop = Loop(cpu())
    loop.fabric.save(tmp_path / "a.ckpt", {"state_dict": loop.state["model"]})
    loaded = Net.load_from_checkpoint(tmp_path / "a.ckpt", seed=9)
    assert differences(loaded, loop.module) == []


def test_only_what_the_filter_keeps_is_written(tmp_path: Path) -> None:
    loop = Loop(cpu())
    keep = {"model": lambda name, value: name.startswith("head") and value.dim() == 1}
    loop.fabric.save(tmp_path / "a.ckpt", loop.state, filter=keep)
    assert list(loop.fabric.load(tmp_path / "a.ckpt")["model"]) == ["head.bias"]
    other = Loop(cpu(), seed=3)
    before = copy.deepcopy(other.module)
    other.fabric.load(tmp_path / "a.ckpt", {"model": other.state["model"]}, strict=False)
    assert differences(other.module, before) == ["head.bias"]
    for wrong, reason in (({"nobody": keep["model"]}, "no 'nobody'"), ({"model": 3}, "cannot be called")):
        with pytest.raises(ConfigurationError, match=reason):
            loop.fabric.save(tmp_path / "b.ckpt", loop.state, filter=wrong)  # type: ignore[arg-type]


def test_what_is_not_asked_for_comes_back(tmp_path: Path) -> None:
    loop = Loop(cpu())
    loop.fabric.save(tmp_path / "a.ckpt", loop.state)
    state: dict[str, Any] = {"model": loop.state["model"], "step": None}
    rest = loop.fabric.load(tmp_path / "a.ckpt", state)
    assert set(rest) == {"optimizer", "scheduler", "note"}
    assert state["step"] == 0
    assert set(loop.fabric.load(tmp_path / "a.ckpt")) == set(loop.state)


def test_what_is_missing_or_does_not_fit_is_told_with_the_path(tmp_path: Path) -> None:
    loop, path = Loop(cpu()), tmp_path / "a.ckpt"
    loop.fabric.save(path, loop.state)
    with pytest.raises(CheckpointError, match=r"'epoch' was to be loaded from .*a\.ckpt, which has only 'model'"):
        loop.fabric.load(path, {"epoch": 0})
    state = {"epoch": 4}
    loop.fabric.load(path, state, strict=False)
    assert state == {"epoch": 4}
    other = loop.fabric.setup_module(nn.Linear(2, 2))
    with pytest.raises(CheckpointError, match=r"does not fit Linear: .*weight"):
        loop.fabric.load(path, {"model": other})
    with pytest.raises(CheckpointError, match=r"b\.ckpt"):
        loop.fabric.load(tmp_path / "b.ckpt")
    with pytest.raises(ConfigurationError, match="no dictionary"):
        loop.fabric.save(path, loop.state["model"])


def test_a_raw_state_is_loaded_into_one_object(tmp_path: Path) -> None:
    loop, trained = Loop(cpu()), Loop(cpu(), seed=4)
    trained.run(1)
    torch.save(trained.module.state_dict(), tmp_path / "model.pt")
    torch.save(trained.state["optimizer"].state_dict(), tmp_path / "optimizer.pt")
    loop.fabric.load_raw(tmp_path / "model.pt", loop.state["model"])
    loop.fabric.load(tmp_path / "optimizer.pt", loop.state["optimizer"])
    assert differences(loop.module, trained.module) == []
    plain = Net(8)
    loop.fabric.load_raw(tmp_path / "model.pt", plain)
    assert differences(plain, trained.module) == []
    loop.state["step"] = trained.state["step"]
    loop.scheduler.step()
    loop.run(3)
    trained.run(3)
    assert differences(loop.module, trained.module) == []


class Noting(TorchCheckpointIO):
    """Says what it wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    def save(self, checkpoint: Any, path: str, *, storage_options: Any = None) -> None:
        self.paths.append(Path(path).name)
        super().save(checkpoint, path, storage_options=storage_options)


def test_a_checkpoint_io_among_the_plugins_writes(tmp_path: Path) -> None:
    noting = Noting()
    cpu(plugins=[noting]).save(tmp_path / "a.ckpt", {"x": 1})
    assert noting.paths == ["a.ckpt"]
