"""Four processes: two copies of the model, each in two parts."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

PROGRAM = Path(__file__).parent / "hybrid_program.py"


def test_copies_of_parts_train_as_one_process(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(4)]
    assert [rank["local"] for rank in ranks] == [[2, 3]] * 4
    assert sum(sum(rank["seen"]) for rank in ranks) == 2 * 5

    spec = importlib.util.spec_from_file_location("hybrid_program", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    torch.manual_seed(0)
    module = program.Regression()
    optimizer = module.configure_optimizers()
    features, targets = program.samples(32).tensors
    for _ in range(2):
        for start in (0, 16):  # two batches of two on each of four ranks
            optimizer.zero_grad()
            module.loss((features[start : start + 16], targets[start : start + 16])).backward()
            clip_grad_norm_(module.parameters(), 0.1)
            optimizer.step()
    state = torch.load(tmp_path / "hybrid.ckpt", weights_only=True)["state_dict"]
    for name, value in module.state_dict().items():
        assert state[name].flatten().tolist() == pytest.approx(value.flatten().tolist(), abs=1e-6), name
