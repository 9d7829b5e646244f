"""Going on from files that other numbers of processes wrote, as far as one process can tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from fulmen_core import LightningModule, Trainer
from fulmen_interfaces import Callback


class Numbers(Dataset[Tensor]):
    """Sample n is the number n."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Tensor:
        return torch.tensor([float(index)])


class Module(LightningModule):
    """Notes the samples that it sees, and the gradients that it steps with."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)
        self.seen: list[list[int]] = []
        self.indices: list[int] = []
        self.gradients: list[float] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.seen.append(batch.flatten().int().tolist())
        self.indices.append(batch_idx)
        return self.layer(batch).mean()

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        assert self.layer.weight.grad is not None
        self.gradients.append(float(self.layer.weight.grad))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.0)


class SavesAt(Callback):
    def __init__(self, path: Path, batches: int) -> None:
        self.path, self.batches = path, batches

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx + 1 == self.batches:
            trainer.save_checkpoint(self.path)


def fit(loader: Any, *, load: Path | None = None, callbacks: Any = (), **arguments: Any) -> Module:
    module = Module()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **arguments,
    )
    trainer.fit(module, loader, ckpt_path=load)
    return module


def saved_by(processes: int, path: Path, *, batches: int, read_per_step: dict[str, int], **arguments: Any) -> Path:
    """Leave a file as that many processes would have: each read as many batches, and had the same gradients."""
    fit(DataLoader(Numbers(), batch_size=3), callbacks=[SavesAt(path, batches)], **arguments)
    checkpoint = torch.load(path)
    own = checkpoint["fulmen"]
    assert own["read_per_step"] == {"samples": 3}
    own["read_per_step"] = read_per_step
    own["ranks"] = own["ranks"] * processes
    torch.save(checkpoint, path)
    return path


@pytest.mark.parametrize(
    ("batches", "size", "first", "index", "told"),
    [
        (1, 3, 6, 2, r"behind the 6 samples of this epoch that were read;"),
        (2, 4, 12, 3, r"behind the 12 samples of this epoch that were read;"),
        (1, 4, 4, 1, r"behind the 6 samples of this epoch that were read, 2 of which are read once more;"),
    ],
)
def test_data_goes_on_behind_the_samples_that_all_of_them_read(
    tmp_path: Path, batches: int, size: int, first: int, index: int, told: str
) -> None:
    path = saved_by(2, tmp_path / "two.ckpt", batches=batches, read_per_step={"samples": 6})
    later = SavesAt(tmp_path / "later.ckpt", index + 1)
    with pytest.warns(UserWarning, match=told):
        module = fit(DataLoader(Numbers(), batch_size=size), load=path, callbacks=[later])
    assert (module.seen[0][0], module.indices[0]) == (first, index)
    assert module.seen[-1][-1] == 23
    assert sum(map(len, module.seen)) == 24 - first
    counted = torch.load(later.path)["fulmen"]["progress"]["batches"]
    assert counted == {"ready": index + 1, "started": index + 1, "processed": index + 1, "completed": index}


class Whole(BatchSampler):
    """A batch sampler of a user's own, whose batches are dealt out whole."""


def test_batches_are_counted_where_they_are_dealt_out_whole(tmp_path: Path) -> None:
    path = saved_by(2, tmp_path / "two.ckpt", batches=2, read_per_step={"batches": 2})
    loader = DataLoader(Numbers(), batch_sampler=Whole(SequentialSampler(Numbers()), 2, drop_last=False))
    with pytest.warns(UserWarning, match="behind the 4 batches of this epoch"):
        module = fit(loader, load=path)
    assert module.seen[0][0] == 8


def test_data_that_each_reads_alone_goes_on_where_each_was(tmp_path: Path) -> None:
    path = saved_by(2, tmp_path / "two.ckpt", batches=2, read_per_step={"batches of each process": 1})
    with pytest.warns(UserWarning, match="behind the 2 batches of each process"):
        module = fit([torch.full((1, 1), float(number)) for number in range(6)], load=path)
    assert [one for (one,) in module.seen] == [2, 3, 4, 5]


def test_an_open_window_goes_on_with_the_mean_of_the_gradients(tmp_path: Path) -> None:
    """The first of four batches has a gradient of its mean, 1, on both processes; the others of 7, 10 and 13."""
    path = saved_by(2, tmp_path / "two.ckpt", batches=1, read_per_step={"samples": 6}, accumulate_grad_batches=4)
    with pytest.warns(UserWarning, match="was written by 2 processes and is continued by 1"):
        module = fit(DataLoader(Numbers(), batch_size=3), load=path, accumulate_grad_batches=4)
    assert module.gradients[0] == pytest.approx((1 + 7 + 10 + 13) / 4)


def test_parts_of_gradients_that_were_reduced_already_are_put_together(tmp_path: Path) -> None:
    """One of two processes had the whole of the mean, as there is one weight, the other nothing of it."""
    path = saved_by(2, tmp_path / "two.ckpt", batches=1, read_per_step={"samples": 6}, accumulate_grad_batches=4)
    checkpoint = torch.load(path)
    own = checkpoint["fulmen"]
    own["gradients_are_reduced"] = True
    own["ranks"] = [
        {**one, "gradients": {"layer.weight": part}}
        for one, part in zip(own["ranks"], (torch.tensor([0.5]), torch.empty(0)), strict=True)
    ]
    torch.save(checkpoint, path)
    with pytest.warns(UserWarning, match="was written by 2 processes and is continued by 1"):
        module = fit(DataLoader(Numbers(), batch_size=3), load=path, accumulate_grad_batches=4)
    assert module.gradients[0] == pytest.approx(0.5 + (7 + 10 + 13) / 4)


@pytest.mark.parametrize(
    "parts", [[torch.ones(2, 1)] * 2, [torch.ones(1, 1), torch.ones(0, 1)]], ids=["other", "uneven"]
)
def test_gradients_that_do_not_fit_are_left_out_and_that_is_said(tmp_path: Path, parts: list[Tensor]) -> None:
    path = saved_by(2, tmp_path / "two.ckpt", batches=1, read_per_step={"samples": 6}, accumulate_grad_batches=4)
    checkpoint = torch.load(path)
    for one, part in zip(checkpoint["fulmen"]["ranks"], parts, strict=True):
        one["gradients"] = {"layer.weight": part}
    torch.save(checkpoint, path)
    with pytest.warns(UserWarning, match="goes on without the gradients that it had"):
        module = fit(DataLoader(Numbers(), batch_size=3), load=path, accumulate_grad_batches=4)
    assert module.gradients[0] == pytest.approx((7 + 10 + 13) / 4)
