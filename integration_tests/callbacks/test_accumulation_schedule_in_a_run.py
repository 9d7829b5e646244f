"""Windows that change with the epoch, against a loop by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import fulmen_core as L
from fulmen_callbacks import GradientAccumulationScheduler
from fulmen_interfaces import ConfigurationError

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
SCHEDULING = {1: 3, 3: 2}
SIZES = [1, 3, 3, 2]


class Line(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 1)
        self.foreseen: float | None = None

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.layer(batch[0]).pow(2).mean()

    def configure_optimizers(self) -> Any:
        self.foreseen = self.trainer.estimated_stepping_batches
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Manual(Line):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False


def batches() -> DataLoader[Any]:
    data = TensorDataset(torch.randn(14, 3, generator=torch.Generator().manual_seed(1)))
    return DataLoader(data, batch_size=2)  # 7 batches


def by_hand() -> tuple[Line, int]:
    module, steps = Line(), 0
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for size in SIZES:
        windows = list(batches())
        for begin in range(0, len(windows), size):
            window = windows[begin : begin + size]
            optimizer.zero_grad()
            for batch in window:
                loss = module.training_step(batch, 0)
                (loss / len(window) if len(window) > 1 else loss).backward()
            optimizer.step()
            steps += 1
    return module, steps


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_windows_follow_the_schedule() -> None:
    trainer = L.Trainer(
        max_epochs=4, callbacks=[GradientAccumulationScheduler(SCHEDULING)], enable_checkpointing=False, **QUIET
    )
    module, (truth, steps) = Line(), by_hand()
    trainer.fit(module, batches())
    assert same(module, truth)
    assert trainer.global_step == module.foreseen == steps


def test_a_run_goes_on_within_a_window(tmp_path: Path) -> None:
    class Saving(Line):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            path = tmp_path / f"{self.current_epoch}-{batch_idx}.ckpt"
            if not path.exists():
                self.trainer.save_checkpoint(path)

    def run(ckpt_path: Path | None = None) -> Line:
        module = Saving()
        callbacks = [GradientAccumulationScheduler(SCHEDULING)]
        L.Trainer(max_epochs=4, callbacks=callbacks, enable_checkpointing=False, **QUIET).fit(
            module, batches(), ckpt_path=ckpt_path
        )
        return module

    truth = run()
    for place in ("0-6", "1-0", "1-1", "1-2", "1-6", "2-4", "3-0"):
        assert same(run(tmp_path / f"{place}.ckpt"), truth), place


def test_the_size_is_set_between_windows_of_a_fit_only() -> None:
    class Eager(Line):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == 0:
                self.trainer.accumulate_grad_batches = 3

    trainer = L.Trainer(max_epochs=1, accumulate_grad_batches=2, enable_checkpointing=False, **QUIET)
    with pytest.raises(ConfigurationError, match="There is no fit under way"):
        trainer.accumulate_grad_batches = 3
    with pytest.raises(ConfigurationError, match="1 of the 2 batches"):
        trainer.fit(Eager(), batches())
    with pytest.raises(ConfigurationError, match="There is no fit under way"):
        trainer.accumulate_grad_batches = 3


def test_other_ways_to_accumulate_are_refused() -> None:
    scheduler = GradientAccumulationScheduler(SCHEDULING)
    quiet = {"max_epochs": 1, "enable_checkpointing": False, **QUIET}
    with pytest.raises(ConfigurationError, match="accumulate_grad_batches=2"):
        L.Trainer(accumulate_grad_batches=2, callbacks=[scheduler], **quiet).fit(Line(), batches())
    with pytest.raises(ConfigurationError, match="Optimisation is manual"):
        L.Trainer(callbacks=[GradientAccumulationScheduler({0: 2})], **quiet).fit(Manual(), batches())
