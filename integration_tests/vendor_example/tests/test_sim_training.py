"""Whole runs on a device type of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import namedtuple
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from acme_sim import SimAccelerator
from sim_cases import QUIET, Classifier, assert_same, loader, plain_loop, samples
from torch.utils.data import DataLoader

import fulmen as L
from fulmen_core import verify_resume
from fulmen_core.verification import ResumeReport

Pair = namedtuple("Pair", ["x", "y"])


@pytest.mark.parametrize("word", ["sim", "auto"])
def test_training_equals_a_plain_loop_on_the_host(word: str) -> None:
    module = Classifier()
    trainer = L.Trainer(max_epochs=2, **QUIET | {"accelerator": word})
    trainer.fit(module, loader(), loader(16))
    assert trainer.plan().accelerator_spec.name == "sim"
    assert len(module.seen) == 12
    assert {value.device.type for value in module.seen} == {"sim"}
    assert_same(module, plain_loop(Classifier(), loader(), 2))


def test_the_run_is_on_the_device_and_the_module_comes_home() -> None:
    class Watching(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            assert {one.device for one in (*batch, *self.parameters(), *self.buffers())} == {torch.device("sim:0")}
            assert self.device == self.trainer.root_device == torch.device("sim:0")
            return super().training_step(batch, batch_idx)

    module = Watching()
    L.Trainer(max_epochs=1, **QUIET).fit(module, loader())
    assert module.seen
    assert module.device.type == "cpu"


def test_evaluation_and_prediction_equal_the_hosts() -> None:
    module = plain_loop(Classifier(), loader(), 2)
    found = []
    for accelerator in ("sim", "cpu"):
        trainer = L.Trainer(**QUIET | {"accelerator": accelerator})
        predicted = torch.cat([part.cpu() for part in trainer.predict(module, loader(20))])
        [validated] = trainer.validate(module, loader(), verbose=False)
        [tested] = trainer.test(module, loader(20), verbose=False)
        found.append((predicted.tolist(), {**validated, **tested}))
    assert found[0][0] == found[1][0]
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-6)  # means are summed in float32 on the device


@dataclass
class Batch:
    x: torch.Tensor
    y: torch.Tensor


class SelfMoving:
    """Moves itself, and counts how often it is asked to."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.x, self.y = x, y
        self.moves = 0

    def to(self, device: torch.device) -> None:
        self.moves += 1
        self.x, self.y = self.x.to(device), self.y.to(device)


@pytest.mark.parametrize("make", [Pair, Batch, SelfMoving, lambda x, y: {"x": x, "y": y}])
def test_batches_of_every_kind_are_moved(make: Any) -> None:
    class Unpacking(Classifier):
        def loss(self, batch: Any) -> torch.Tensor:
            assert getattr(batch, "moves", 1) == 1
            pair = (batch["x"], batch["y"]) if isinstance(batch, dict) else (batch.x, batch.y)
            return super().loss(pair)

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return self.loss(batch)

    def collate(items: list[Any]) -> Any:
        return make(torch.stack([x for x, _ in items]), torch.stack([y for _, y in items]))

    module = Unpacking()
    L.Trainer(max_epochs=2, **QUIET).fit(module, DataLoader(samples(), 8, collate_fn=collate))
    assert_same(module, plain_loop(Classifier(), loader(), 2))


def test_what_was_not_moved_fails_as_on_real_hardware() -> None:
    class Unmoved(Classifier):
        def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
            return batch

    class Offset(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            x, y = batch
            return super().training_step((x + torch.ones(8), y), batch_idx)

    for wrong in (Unmoved, Offset):
        with pytest.raises(RuntimeError, match="same device"):
            L.Trainer(max_epochs=1, **QUIET).fit(wrong(), loader())


# ---------------------------------------------------------------- checkpoints


def fit(module: Classifier, **options: Any) -> L.Trainer:
    ckpt_path = options.pop("ckpt_path", None)
    trainer = L.Trainer(**QUIET | options)
    trainer.fit(module, loader(), loader(16), ckpt_path=ckpt_path)
    return trainer


class Forgetful(SimAccelerator):
    def set_random_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Leave the generator as it is."""


def resumed(cuts: list[int], **options: Any) -> ResumeReport:
    """Cut a run there. Dropout draws from the device's generator, shuffling from the host's."""
    return verify_resume(
        lambda: Classifier(dropout=0.3),
        lambda: (loader(shuffle=True), loader(16)),
        trainer_arguments=QUIET | {"max_epochs": 2} | options,
        cuts=cuts,
    )


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 4}, {"precision": "bf16-true"}], ids=str)
def test_a_run_goes_on_bit_for_bit_from_any_step(options: dict[str, Any]) -> None:
    report = resumed([1, 4, 6, 11], **options)
    assert report.exact, str(report)


def test_a_run_whose_random_state_is_not_put_back_does_not_go_on_alike() -> None:
    assert not resumed([4], accelerator=Forgetful()).exact


def test_a_checkpoint_of_the_device_is_read_where_there_is_none(tmp_path: Path) -> None:
    module = Classifier()
    fit(module, max_epochs=1).save_checkpoint(tmp_path / "sim.ckpt")
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import torch
import fulmen as L
from sim_cases import Classifier, QUIET, loader
expected = torch.load({str(tmp_path / "weights.pt")!r}, weights_only=True)
loaded = Classifier.load_from_checkpoint({str(tmp_path / "sim.ckpt")!r}, map_location="cpu")
assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
on_host, trainer = Classifier(), L.Trainer(max_epochs=2, **QUIET | {{"accelerator": "cpu"}})
trainer.fit(on_host, loader(), ckpt_path={str(tmp_path / "sim.ckpt")!r})
assert len(on_host.seen) == 6
assert "acme_torch._torch" not in sys.modules
"""
    environment = os.environ | {"SIM_DEVICE": "0"}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr


def test_a_checkpoint_of_the_host_goes_on_on_the_device(tmp_path: Path) -> None:
    fit(Classifier(), max_epochs=1, accelerator="cpu").save_checkpoint(tmp_path / "host.ckpt")
    whole, resumed = Classifier(), Classifier()
    fit(whole, max_epochs=2)
    fit(resumed, max_epochs=2, ckpt_path=tmp_path / "host.ckpt")
    assert_same(resumed, whole)
