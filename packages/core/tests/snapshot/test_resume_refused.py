"""Checkpoints that a run cannot go on from: what is said, with the path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_cases import Line, loader, trainer
from torch import nn

from fulmen_core import LightningModule, TorchCheckpointIO
from fulmen_interfaces import CheckpointError, ModuleError


class Plain(Line):
    """One optimizer with one scheduler."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


class WithoutScheduler(Plain):
    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.01)


class TwoOptimizers(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.manual_backward(self.loss(batch))

    def configure_optimizers(self) -> Any:
        return [torch.optim.Adam([self.layer.weight]), torch.optim.Adam([self.layer.bias])]


class OtherGroups(Plain):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam([{"params": [self.layer.weight]}, {"params": [self.layer.bias]}])
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


class Wider(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)


class OtherNames(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.line = self.layer
        del self.layer

    def forward(self, x: torch.Tensor) -> Any:
        return self.line(x)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a checkpoint of a fit of one epoch."""
    run = trainer()
    run.fit(Plain(), loader())
    run.save_checkpoint(tmp_path / "saved.ckpt")
    return tmp_path / "saved.ckpt"


def go_on(module: LightningModule, path: Path) -> None:
    trainer(max_epochs=2).fit(module, loader(), ckpt_path=path)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (TwoOptimizers, "holds states of 1 optimizers, but `configure_optimizers` returned 2"),
        (WithoutScheduler, "holds states of 1 schedulers, but `configure_optimizers` returned 0"),
        (OtherGroups, r"The state of optimizer 0 \(Adam\) in .* does not fit: .*different number of parameter groups"),
        (Wider, "do not fit Wider: .*size mismatch for layer.weight"),
        (OtherNames, 'do not fit OtherNames: .*Missing key.* "line.weight".*Unexpected key.* "layer.weight"'),
    ],
)
def test_another_module_is_refused_before_anything_runs(
    make: Callable[[], LightningModule], text: str, file: Path
) -> None:
    module = make()
    module.on_train_start = lambda: pytest.fail("training began")  # type: ignore[method-assign]
    with pytest.raises(CheckpointError, match=text) as raised:
        go_on(module, file)
    assert raised.value.path == str(file)
    assert str(file) in str(raised.value)


def test_other_names_are_taken_where_the_module_is_not_strict(file: Path) -> None:
    module = OtherNames()
    module.strict_loading = False
    go_on(module, file)


def test_a_file_of_weights_only_is_refused(tmp_path: Path) -> None:
    run = trainer()
    run.fit(Plain(), loader())
    path = tmp_path / "weights.ckpt"
    run.save_checkpoint(path, weights_only=True)
    with pytest.raises(CheckpointError, match=r"weights\.ckpt holds weights only, .* Load them with") as raised:
        go_on(Plain(), path)
    assert raised.value.path == str(path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda checkpoint: checkpoint["fulmen"].update(format=99), "has format 99, .* Upgrade fulmen-core"),
        (lambda checkpoint: checkpoint.pop("state_dict"), "has no `state_dict`, only epoch, global_step"),
        (
            lambda checkpoint: (checkpoint.pop("loops"), checkpoint.pop("fulmen")),
            "does not say how far training had come",
        ),
    ],
)
def test_files_that_lack_what_is_needed_are_refused(change: Any, text: str, file: Path) -> None:
    checkpoint = torch.load(file, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, file)
    with pytest.raises(CheckpointError, match=text) as raised:
        go_on(Plain(), file)
    assert raised.value.path == str(file)


def test_a_file_that_is_not_there_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.ckpt cannot be read: it is not there") as raised:
        go_on(Plain(), tmp_path / "nowhere.ckpt")
    assert raised.value.path == str(tmp_path / "nowhere.ckpt")


def test_a_damaged_file_is_an_error_with_its_path(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="damaged") as raised:
        go_on(Plain(), file)
    assert raised.value.path == str(file)


def test_saving_before_a_model_is_prepared_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModuleError, match="save_checkpoint"):
        trainer().save_checkpoint(tmp_path / "early.ckpt")


def test_an_error_while_saving_names_the_path_and_leaves_the_file_before_it(file: Path) -> None:
    class Keeps(Plain):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["mine"] = lambda: None

    before = file.read_bytes()
    run = trainer()
    run.fit(Keeps(), loader())
    with pytest.raises(CheckpointError, match="'mine' holds what cannot be pickled") as raised:
        run.save_checkpoint(file)
    assert raised.value.path == str(file)
    assert file.read_bytes() == before
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_what_the_module_adds_is_read_back_safely_or_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "own.ckpt"
    torch.save({"state_dict": {}, "own": Path("x")}, path)
    with pytest.raises(CheckpointError, match=r"pass `weights_only=False`"):
        go_on(Plain(), path)
    assert TorchCheckpointIO().load(str(path), weights_only=False)["own"] == Path("x")
