"""Makes `tuner_cases`, which the tests share, importable, and trial runs quick."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
mpl.use("Agg")  # no window


@pytest.fixture(scope="session", autouse=True)
def _quick():
    """Models are tiny: threads would only wait for each other, and collecting garbage would look at all modules."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
    torch.set_num_threads(threads)
