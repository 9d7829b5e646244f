"""The program in docs/fabric.md runs, and does what its page says."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

PAGE = Path(__file__).parents[2] / "docs" / "fabric.md"


def test_the_example_of_the_page_learns_and_leaves_its_files(tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert code is not None
    (tmp_path / "program.py").write_text(code[1])
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    errors = [float(error) for error in re.findall(r"epoch \d: error ([\d.]+)", done.stdout)]
    assert len(errors) == 3
    assert errors[2] < errors[0]
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["epoch"] == 3
    nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)).load_state_dict(checkpoint["model"])
    (metrics,) = tmp_path.glob("fulmen_logs/version_*/metrics.csv")
    with metrics.open() as file:
        logged = [float(row["error"]) for row in csv.DictReader(file)]
    assert [round(value, 4) for value in logged] == errors
