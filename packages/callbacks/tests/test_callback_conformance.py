"""Every callback goes through what is asked of callbacks in general."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import fulmen_callbacks as ours
from fulmen_interfaces import CallbackSpec
from fulmen_testing import BoringModule, CallbackConformance, FakeTrainer


class TestModelCheckpoint(CallbackConformance):
    spec = ours.MODEL_CHECKPOINT_SPEC

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Mapping[str, object]:
        return {"dirpath": str(tmp_path), "monitor": "val_loss", "save_top_k": 2, "save_last": True}


class TestProgressBar(CallbackConformance):
    spec = ours.PROGRESS_BAR_SPEC


class TestModelSummary(CallbackConformance):
    spec = ours.MODEL_SUMMARY_SPEC


class TestTimer(CallbackConformance):
    spec = ours.TIMER_SPEC


class TestTqdm(CallbackConformance):
    spec = CallbackSpec(name="tqdm", create=ours.TQDMProgressBar, summary="tqdm", role=ours.TQDMProgressBar.role)


class TestEarlyStopping(CallbackConformance):
    spec = CallbackSpec(
        name="early_stopping", create=ours.EarlyStopping, summary="stops early", role=ours.EarlyStopping.role
    )

    @pytest.fixture
    def settings(self) -> Mapping[str, object]:
        return {"monitor": "val_loss", "patience": 1}


class TestOnExceptionCheckpoint(CallbackConformance):
    spec = CallbackSpec(
        name="on_exception",
        create=ours.OnExceptionCheckpoint,
        summary="saves failures",
        role=ours.OnExceptionCheckpoint.role,
    )

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Mapping[str, object]:
        return {"dirpath": str(tmp_path)}


class WithLogger(CallbackConformance):
    """For callbacks that refuse a run without a logger."""

    spec = CallbackSpec(name="abstract", create=ours.LambdaCallback, summary="none")

    @pytest.fixture
    def trainer(self, tmp_path: Path, module: Any, memory_logger: Any) -> FakeTrainer:
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        return FakeTrainer(
            default_root_dir=str(tmp_path), loggers=[memory_logger()], optimizers=[optimizer], log_every_n_steps=1
        )


class TestLearningRateMonitor(WithLogger):
    spec = CallbackSpec(name="lr_monitor", create=ours.LearningRateMonitor, summary="logs learning rates")


class TestDeviceStatsMonitor(WithLogger):
    spec = CallbackSpec(name="device_stats", create=ours.DeviceStatsMonitor, summary="logs device figures")


class TestThroughputMonitor(WithLogger):
    spec = CallbackSpec(name="throughput", create=ours.ThroughputMonitor, summary="logs rates")

    @pytest.fixture
    def settings(self) -> Mapping[str, object]:
        return {"batch_size_fn": len}


class TestEMAWeightAveraging(CallbackConformance):
    spec = CallbackSpec(name="ema", create=ours.EMAWeightAveraging, summary="averages weights")


class TestSpikeDetection(CallbackConformance):
    spec = CallbackSpec(name="spike", create=ours.SpikeDetection, summary="finds spikes")

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Mapping[str, object]:
        return {"rtol": None, "atol": 1e9, "exclude_batches_path": str(tmp_path / "skip.json")}


class TestBackboneFinetuning(CallbackConformance):
    spec = CallbackSpec(name="finetuning", create=ours.BackboneFinetuning, summary="unfreezes a backbone")

    @pytest.fixture
    def module(self) -> BoringModule:
        module = BoringModule()
        module.backbone = torch.nn.Linear(32, 32)
        return module


class TestLambdaCallback(CallbackConformance):
    spec = CallbackSpec(name="lambda", create=ours.LambdaCallback, summary="made of functions")


class TestBasePredictionWriter(CallbackConformance):
    spec = CallbackSpec(name="writer", create=ours.BasePredictionWriter, summary="writes predictions")


class TestGradientAccumulationScheduler(CallbackConformance):
    spec = CallbackSpec(
        name="accumulation", create=ours.GradientAccumulationScheduler, summary="changes accumulation by epoch"
    )

    @pytest.fixture
    def settings(self) -> Mapping[str, object]:
        return {"scheduling": {100: 2}}


class TestStochasticWeightAveraging(CallbackConformance):
    spec = CallbackSpec(name="swa", create=ours.StochasticWeightAveraging, summary="averages the last epochs")

    @pytest.fixture
    def settings(self) -> Mapping[str, object]:
        return {"swa_lrs": 0.1, "swa_epoch_start": 1}

    @pytest.fixture
    def trainer(self, tmp_path: Path, module: Any) -> FakeTrainer:
        return FakeTrainer(default_root_dir=str(tmp_path), optimizers=[torch.optim.SGD(module.parameters(), lr=0.1)])
