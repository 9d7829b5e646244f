"""Runs drawn at random call the same hooks, log the same rows and train the same weights under Lightning.

Where Lightning is not installed these tests are skipped.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from random_runs import draw, observe

import fulmen
import fulmen.loggers

theirs = pytest.importorskip("lightning.pytorch")
loggers = pytest.importorskip("lightning.pytorch.loggers")
pytestmark = pytest.mark.filterwarnings("ignore")

LIBRARIES = [
    SimpleNamespace(
        Trainer=library.Trainer,
        LightningModule=library.LightningModule,
        Callback=library.Callback,
        Logger=logger,
    )
    for library, logger in ((theirs, loggers.Logger), (fulmen, fulmen.loggers.Logger))
]


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("seed", range(60))
def test_a_run_goes_as_under_lightning(seed: int, tmp_path: Path) -> None:
    config = draw(seed)
    expected, seen = (observe(config, library, str(tmp_path)) for library in LIBRARIES)
    for at, (one, other) in enumerate(zip(expected, seen, strict=False)):
        assert close(one, other), f"{config}\n{at}: {one} there, {other} here"
    assert len(seen) == len(expected)


def close(one: Any, other: Any) -> bool:
    """Whether both are the same, numbers up to the rounding of single precision."""
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-4, abs=1e-5, nan_ok=True)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(close, one, other))
    return bool(one == other)
