"""Callbacks that distributions give to every Trainer."""

from __future__ import annotations

import pytest
from kernel_cases import Line, loader, trainer

from fulmen_core import Trainer
from fulmen_core.trainer import _runner
from fulmen_interfaces import CALLBACKS, Callback, CallbackSpec, Catalogue


class Audit(Callback):
    """Counts the batches that it sees."""

    def __init__(self) -> None:
        self.batches = 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.batches += 1


def audits(of: Trainer) -> list[Audit]:
    return [one for one in of.callbacks if isinstance(one, Audit)]


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a distribution with this entry point were installed."""
    catalogue = Catalogue.installed()
    monkeypatch.setattr(_runner, "default_catalogue", lambda: catalogue)
    catalogue.register(CALLBACKS, CallbackSpec(name="audit", create=Audit, automatic=True))


def test_every_trainer_gets_one_of_its_own() -> None:
    first, second = trainer(), trainer()
    first.fit(Line(), loader())
    assert [one.batches for one in audits(first)] == [len(loader())]
    assert [one.batches for one in audits(second)] == [0]


def test_the_users_own_takes_its_place() -> None:
    own = Audit()
    assert audits(trainer(callbacks=[own])) == [own]


def test_barebones_runs_do_without() -> None:
    assert audits(Trainer(accelerator="cpu", barebones=True)) == []
