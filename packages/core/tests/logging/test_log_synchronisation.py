"""Logging does not wait for a device between flushes: counted with torch's profiler.

The values lie on the meta device, which has no numbers to wait for: whoever asked for one would fail, too.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from fulmen_core import LightningModule, Trainer

WAITS = ("aten::_local_scalar_dense", "aten::item", "aten::is_nonzero")


class Logging(LightningModule):
    def __init__(self, device: str, **options: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.where = device
        self.options = options

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = self.layer(batch).mean()
        for number in range(5):
            self.log(f"metric_{number}", torch.full((), 0.5, device=self.where), **self.options)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val", torch.full((), 0.5, device=self.where), batch_size=batch_idx + 1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def waits_in_a_fit(module: LightningModule, batches: int) -> int:
    trainer = Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    data = [torch.ones(4, 2)] * batches
    with profile(activities=[ProfilerActivity.CPU]) as measured:
        trainer.fit(module, data, data)
    return sum(event.count for event in measured.key_averages() if event.key in WAITS)


@pytest.mark.parametrize("options", [{}, {"on_step": True, "on_epoch": True}, {"on_epoch": True, "reduce_fx": "max"}])
def test_nothing_waits_for_the_device_however_many_steps_are_logged(options: dict[str, Any]) -> None:
    few = waits_in_a_fit(Logging("meta", **options), 2)
    assert waits_in_a_fit(Logging("meta", **options), 150) == few == 0


def test_the_count_sees_who_reads_a_value() -> None:
    class Reading(Logging):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            loss = super().training_step(batch, batch_idx)
            loss.item()
            return loss

    assert waits_in_a_fit(Reading("meta"), 10) >= 10
