"""A checkpoint callback for the authors of loggers: what it keeps is saved by the test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from fulmen_interfaces import Callback, CallbackOrder, CallbackRole


@final
class FakeCheckpoints(Callback):
    """`RankedCheckpoints` whose every answer is an attribute to be set; `save` sets them as a run would."""

    order = CallbackOrder.CHECKPOINT
    role = CallbackRole.CHECKPOINT

    def __init__(self, save_top_k: int = 1) -> None:
        self.monitor: str | None = "val_loss"
        self.mode = "min"
        self.save_top_k = save_top_k
        self.best_k_models: dict[str, Tensor] = {}
        self.best_model_path = ""
        self.last_model_path = ""

    def save(self, path: Path, score: float, *, when: int) -> None:
        """Write a small file that tells its score, as if at that time (seconds since the epoch). None is removed."""
        path.write_text(f"weights of {score}")
        os.utime(path, (when, when))
        self.best_k_models[str(path)] = torch.tensor(score)
        self.best_model_path = min(self.best_k_models, key=lambda one: float(self.best_k_models[one]))
