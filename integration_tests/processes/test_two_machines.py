"""A program that is started by hand on each of two machines: here, two programs on one."""

from __future__ import annotations

from pathlib import Path

import pytest
from process_tools import end, environment, free_port, printed_by, start

PROGRAM = """
import sys

import torch
from torch.utils.data import DataLoader

from fulmen_core import LightningModule, Trainer


class Mean(LightningModule):
    def __init__(self):
        super().__init__()
        self.level = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, batch_idx):
        self.log("seen", batch.mean(), on_epoch=True, sync_dist=True)
        return (self.level - batch).pow(2).mean() / 2

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


if __name__ == "__main__":
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator="cpu", devices=1, num_nodes=2, strategy=sys.argv[1], max_epochs=1, **options)
    module = Mean()
    trainer.fit(module, DataLoader(torch.arange(4.0), batch_size=2))
    print(module.level.item(), trainer.callback_metrics["seen"].item(), trainer.global_step)
"""


@pytest.mark.parametrize("strategy", ["ddp", "ddp_fork"])
def test_each_caller_gets_what_was_trained_together(strategy: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(21000, 22000)}
    machines = [
        start("program.py", strategy, cwd=tmp_path, env=environment(NODE_RANK=node, **place)) for node in (0, 1)
    ]
    try:
        for machine in machines:
            output, errors = printed_by(machine)
            assert machine.returncode == 0, errors
            assert output.split() == ["1.5", "1.5", "1"]
    finally:
        end(machines)
