"""Averages of weights, and layers that are unfrozen, are the same on two processes as on one, also after a resume."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

PROGRAM = Path(__file__).with_name("averaging_program.py")


def run(strategy: str, devices: int, callback: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, str(PROGRAM), strategy, str(devices), callback, str(folder)]
    subprocess.run(command, check=True, timeout=240, capture_output=True, cwd=PROGRAM.parent)
    files = {name: torch.load(folder / f"{name}.ckpt")["state_dict"] for name in ("whole", "resumed")}
    return {**files, "val_loss": torch.load(folder / "metrics.pt")["val_loss"]}


@pytest.mark.parametrize("callback", ["ema", "swa"])
def test_an_average_over_processes_is_that_of_one(tmp_path: Path, callback: str) -> None:
    truth = run("auto", 1, callback, tmp_path / "one")
    torch.testing.assert_close(truth["resumed"], truth["whole"], rtol=0, atol=0)
    for strategy in ("ddp", "fsdp"):
        found = run(strategy, 2, callback, tmp_path / strategy)
        torch.testing.assert_close(found["whole"], truth["whole"], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found["val_loss"], truth["val_loss"], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found["resumed"], found["whole"], rtol=0, atol=0)


def test_layers_that_are_unfrozen_late_are_trained_as_on_one_process(tmp_path: Path) -> None:
    truth = run("auto", 1, "unfreezing", tmp_path / "one")
    for strategy in ("ddp", "fsdp"):
        found = run(strategy, 2, "unfreezing", tmp_path / strategy)
        torch.testing.assert_close(found["whole"], truth["whole"], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found["resumed"], found["whole"], rtol=1e-5, atol=1e-6)
