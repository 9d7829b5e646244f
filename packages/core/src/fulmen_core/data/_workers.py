"""Random numbers in the worker processes of loaders."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch.utils.data import DataLoader

from fulmen_core._seed import seed_worker, workers_are_seeded
from fulmen_core.data._combined import CombinedLoader
from fulmen_core.data._tree import Shape


def seed_workers(loaders: Any, rank: int) -> None:
    """Let workers draw other numbers on every rank, where `seed_everything(..., workers=True)` asked for it.

    Loaders that have a `worker_init_fn` are left alone.
    """
    if not workers_are_seeded():
        return
    for loader in loaders.flattened if isinstance(loaders, CombinedLoader) else Shape(loaders).leaves:
        if isinstance(loader, DataLoader) and loader.num_workers > 0 and loader.worker_init_fn is None:
            loader.worker_init_fn = partial(seed_worker, rank=rank)
