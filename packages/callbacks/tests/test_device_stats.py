"""Figures of the device among the metrics that loggers are given."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from fulmen_callbacks import DeviceStatsMonitor
from fulmen_interfaces import ConfigurationError, World
from fulmen_testing import FakeAccelerator


class Telling(FakeAccelerator):
    def stats(self, device: torch.device) -> Mapping[str, float]:
        return {"memory_bytes": 7.0, "load_percent": 0.5}


@pytest.fixture
def make(make_trainer: Any, memory_logger: Any) -> Any:
    def trainer(accelerator: Any, **settings: Any) -> Any:
        made = make_trainer(loggers=[memory_logger()], **{"log_every_n_steps": 2, **settings})
        made.accelerator = accelerator
        return made

    return trainer


def run(callback: DeviceStatsMonitor, trainer: Any, *, accumulate: int = 1) -> list[tuple[int, dict[str, float]]]:
    callback.setup(trainer, None, "fit")  # type: ignore[arg-type]
    for batch in range(4):
        callback.on_train_batch_start(trainer, None, None, batch)  # type: ignore[arg-type]
        if (batch + 1) % accumulate == 0:
            trainer.logging_step += 1
        callback.on_train_batch_end(trainer, None, None, None, batch)  # type: ignore[arg-type]
    rows: list[tuple[int, dict[str, float]]] = trainer.loggers[0].rows
    return rows


def test_figures_are_taken_before_and_after_logged_batches(make: Any) -> None:
    start = {
        f"DeviceStatsMonitor.on_train_batch_start/{name}": value
        for name, value in Telling().stats(torch.device("cpu")).items()
    }
    end = {name.replace("start", "end"): value for name, value in start.items()}
    assert run(DeviceStatsMonitor(), make(Telling())) == [(1, start), (1, end), (3, start), (3, end)]


def test_a_step_of_several_batches_is_logged_once(make: Any) -> None:
    rows = run(DeviceStatsMonitor(), make(Telling(), log_every_n_steps=1), accumulate=2)
    assert [step for step, _ in rows] == [0, 0, 1, 1]


def test_figures_can_be_chosen(make: Any) -> None:
    rows = run(DeviceStatsMonitor(filter_keys={"memory_bytes"}), make(Telling()))
    assert {name.rpartition("/")[2] for _, row in rows for name in row} == {"memory_bytes"}
    with pytest.warns(UserWarning, match="no figure 'memory_byte'. Did you mean 'memory_bytes'") as caught:
        run(DeviceStatsMonitor(filter_keys=["memory_byte"]), make(Telling()))
    assert len(caught) == 1


def test_on_a_cpu_its_load_is_the_default(make: Any) -> None:
    assert run(DeviceStatsMonitor(cpu_stats=False), make(Telling())) == []


def test_on_other_devices_the_machines_load_is_added_on_request(make: Any) -> None:
    pytest.importorskip("psutil")
    trainer = make(Telling(), root_device=torch.device("meta"))
    rows = run(DeviceStatsMonitor(cpu_stats=True), trainer)
    assert {name.rpartition("/")[2] for _, row in rows for name in row} == {
        "memory_bytes",
        "load_percent",
        "cpu_percent",
        "cpu_vm_percent",
        "cpu_swap_percent",
    }


def test_psutil_is_asked_for_by_name(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(ImportError, match="pip install psutil"):
        run(DeviceStatsMonitor(cpu_stats=True), make(Telling(), root_device=torch.device("meta")))


def test_who_cannot_tell_or_take_figures(make: Any, make_trainer: Any) -> None:
    assert run(DeviceStatsMonitor(), make(object())) == []
    assert run(DeviceStatsMonitor(), make(Telling(), world=World(rank=1, size=2))) == []
    with pytest.raises(ConfigurationError, match="no logger"):
        DeviceStatsMonitor().setup(make_trainer(), None, "fit")  # type: ignore[arg-type]
