"""The same loop under every strategy of several processes comes to what torch alone comes to on the whole data."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from strategies_program import NORMS, Net, adamw, data
from torch import nn
from torch.nn.functional import mse_loss
from torch.nn.utils import clip_grad_norm_

PROGRAM = Path(__file__).parent / "strategies_program.py"
NEEDS = {"ddp_sharded": "fairscale", "deepspeed_stage_2": "deepspeed"}


def by_hand(epochs: int) -> nn.Module:
    module = Net(0)
    optimizer = adamw(module)
    for _ in range(epochs):
        for index, (x, y) in enumerate(data(4)):
            (mse_loss(module(x), y) / 2).backward()
            if index % 2 == 1:
                clip_grad_norm_(module.parameters(), 0.5)
                optimizer.step()
                optimizer.zero_grad()
    return module


def norms() -> list[float]:
    module = by_hand(2)
    x, y = next(iter(data(4)))
    mse_loss(module(x), y).backward()
    return [float(clip_grad_norm_(module.parameters(), 1e9, kind)) for kind in NORMS]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp", "ddp_sharded", "deepspeed_stage_2"])
def test_a_loop_trains_saves_and_goes_on(strategy: str, tmp_path: Path) -> None:
    library = NEEDS.get(strategy)
    if library is not None and find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path), strategy],
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    files = [("half", by_hand(1)), ("end", by_hand(2))]
    if library is None:
        files.append(("late", by_hand(1)))
        assert [rank["refused"] for rank in ranks] == [None, None]
    else:
        assert all("makes a model and its optimizers ready together" in rank["refused"] for rank in ranks)
    for name, module in files:
        truth = module.state_dict()
        found = torch.load(tmp_path / f"{name}.ckpt", weights_only=True)["model"]
        assert found.keys() == truth.keys()
        for key, value in truth.items():
            torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-6)
    for rank in ranks:
        known = 1 if strategy.startswith("deepspeed") else len(NORMS)
        assert rank["norms"][:known] == pytest.approx(norms()[:known], rel=1e-4)
        assert all("2-norm only" in refusal for refusal in rank["norms"][known:])
    first, second, third = (Net(0)(x).flatten().tolist() for x, _ in data(8))
    assert [rank["epoch"] for rank in ranks] == [1, 1]
    for rank, batches in zip(ranks, [[first, third], [second]], strict=True):
        assert len(rank["evaluated"]) == len(batches)
        for found, expected in zip(rank["evaluated"], batches, strict=True):
            assert found == pytest.approx(expected, rel=1e-4)
