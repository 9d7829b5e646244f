"""Worker processes of the loaders of a run."""

from __future__ import annotations

from typing import Any

import pytest
from kernel_cases import Line, loader, trainer

from fulmen_core import Fabric
from fulmen_core._seed import seed_worker


class Validated(Line):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.loss(batch)


def test_workers_are_seeded_by_rank_where_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULMEN_SEED_WORKERS", "1")
    train, val, alone = (loader(1, num_workers=1) for _ in range(3))
    trainer().fit(Validated(), train, val)
    Fabric(accelerator="cpu").setup_dataloaders(alone)
    for one in (train, val, alone):
        assert one.worker_init_fn.func is seed_worker
        assert one.worker_init_fn.keywords == {"rank": 0}
