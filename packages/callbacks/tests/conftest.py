"""Fixtures of the callbacks' tests; what they are made of lies in `callback_fakes`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from callback_fakes import FakeTrainer, MemoryLogger, Module, run_ranks


@pytest.fixture
def in_ranks() -> Any:
    """Return what runs a task on several ranks."""
    return run_ranks


@pytest.fixture
def make_trainer(tmp_path: Path) -> Any:
    """Return what makes a FakeTrainer whose root is the test's own folder."""

    def make(**settings: Any) -> FakeTrainer:
        trainer = FakeTrainer(**{"default_root_dir": str(tmp_path), "callback_metrics": {}, **settings})
        if not trainer.is_global_zero:
            trainer.save_checkpoint = lambda path, *args: trainer.saved.append(path)
            trainer.remove_checkpoint = trainer.removed.append
        return trainer

    return make


@pytest.fixture
def module() -> Module:
    """Return a small module."""
    torch.manual_seed(0)
    return Module()


@pytest.fixture
def memory_logger() -> type[MemoryLogger]:
    """Return the class of loggers that keep what they are given."""
    return MemoryLogger
