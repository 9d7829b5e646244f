"""Rates, from totals and times that the tests choose."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fulmen_callbacks import Throughput, ThroughputMonitor, _throughput_monitor, measure_flops
from fulmen_interfaces import ConfigurationError, RunningStage, World


def test_rates_come_from_a_full_window() -> None:
    throughput = Throughput(available_flops=1e6, world_size=2, window_size=3)
    for step in range(1, 3):
        throughput.update(time=float(step), batches=step, samples=4 * step, lengths=8 * step, flops=1000)
        assert throughput.compute() == {"time": step, "batches": step, "samples": 4 * step, "lengths": 8 * step}
    throughput.update(time=5.0, batches=3, samples=12, lengths=24, flops=1000)
    assert throughput.compute() == {
        "time": 5.0,
        "batches": 3,
        "samples": 12,
        "lengths": 24,
        "device/batches_per_sec": 2 / 4,
        "device/samples_per_sec": 8 / 4,
        "device/items_per_sec": 16 / 4,
        "device/flops_per_sec": 2000 / 4,
        "batches_per_sec": 1.0,
        "samples_per_sec": 4.0,
        "items_per_sec": 8.0,
        "flops_per_sec": 1000.0,
        "device/mfu": 500 / 1e6,
    }
    throughput.reset()
    assert throughput.compute() == {}


def test_totals_only_grow() -> None:
    throughput = Throughput()
    throughput.update(time=1.0, batches=1, samples=4)
    with pytest.raises(ValueError, match="samples=1"):
        throughput.update(time=2.0, batches=2, samples=1)
    with pytest.raises(ConfigurationError, match="window_size=1"):
        Throughput(window_size=1)


def test_operations_are_measured() -> None:
    model = torch.nn.Linear(8, 4, bias=False, device="meta")
    batch = torch.zeros(5, 8, device="meta")
    forward = 2 * 5 * 8 * 4
    assert measure_flops(model, lambda: model(batch)) == forward
    assert measure_flops(model, lambda: model(batch), lambda output: output.sum()) == 2 * forward


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_throughput_monitor, "time", clock)
    return clock


class Module(torch.nn.Module):
    flops_per_batch = 1000


def train(monitor: ThroughputMonitor, trainer: Any, module: Any, clock: Clock) -> list[tuple[int, dict[str, float]]]:
    """Two epochs of four batches, a second each, and validation of two batches, ten seconds each."""
    batch = torch.zeros(4, 3)
    monitor.setup(trainer, module, "fit")
    trainer.running_stage = RunningStage.SANITY_CHECKING
    validate(monitor, trainer, module, clock)
    trainer.running_stage = RunningStage.TRAINING
    monitor.on_train_start(trainer, module)
    for _ in range(2):
        for index in range(4):
            clock.now += 1
            trainer.logging_step += 1
            monitor.on_train_batch_end(trainer, module, None, batch, index)
        trainer.running_stage = RunningStage.VALIDATING
        validate(monitor, trainer, module, clock)
        trainer.running_stage = RunningStage.TRAINING
    rows: list[tuple[int, dict[str, float]]] = trainer.loggers[0].rows
    return rows


def validate(monitor: ThroughputMonitor, trainer: Any, module: Any, clock: Clock) -> None:
    monitor.on_validation_start(trainer, module)
    for index in range(2):
        clock.now += 10
        monitor.on_validation_batch_end(trainer, module, None, torch.zeros(4, 3), index)
    monitor.on_validation_end(trainer, module)


def test_training_is_measured_without_validation(make_trainer: Any, memory_logger: Any, clock: Clock) -> None:
    monitor = ThroughputMonitor(lambda batch: batch.size(0), lambda batch: batch.numel(), window_size=3)
    trainer = make_trainer(loggers=[memory_logger()], log_every_n_steps=2)
    rows = train(monitor, trainer, Module(), clock)
    assert [(step, next(iter(row)).split("/")[0]) for step, row in rows] == [
        (1, "train"),
        (3, "train"),
        (3, "validate"),
        (5, "train"),
        (7, "train"),
        (7, "validate"),
    ]
    assert rows[-2][1] == {
        "train/time": 8,
        "train/batches": 8,
        "train/samples": 32,
        "train/lengths": 96,
        "train/device/batches_per_sec": 1.0,
        "train/device/samples_per_sec": 4.0,
        "train/device/items_per_sec": 12.0,
        "train/device/flops_per_sec": 1000.0,
    }
    assert rows[-1][1] == {
        "validate/time": 20,
        "validate/batches": 2,
        "validate/samples": 8,
        "validate/lengths": 24,
    }


def test_test_and_prediction_are_measured(make_trainer: Any, memory_logger: Any, clock: Clock) -> None:
    monitor = ThroughputMonitor(len, window_size=2)
    trainer = make_trainer(loggers=[memory_logger()], world=World(size=3))
    monitor.setup(trainer, None, "test")  # type: ignore[arg-type]
    for stage in ("test", "predict"):
        getattr(monitor, f"on_{stage}_start")(trainer, None)
        for index in range(2):
            clock.now += 2
            getattr(monitor, f"on_{stage}_batch_end")(trainer, None, None, [1, 2, 3], index)
        getattr(monitor, f"on_{stage}_end")(trainer, None)
    assert [
        row[f"{stage}/samples_per_sec"]
        for (_, row), stage in zip(trainer.loggers[0].rows, ("test", "predict"), strict=True)
    ] == [4.5, 4.5]


def test_a_run_without_logger_is_refused(make_trainer: Any) -> None:
    with pytest.raises(ConfigurationError, match="no logger"):
        ThroughputMonitor(len).setup(make_trainer(), None, "fit")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="window_size=0"):
        ThroughputMonitor(len, window_size=0)
