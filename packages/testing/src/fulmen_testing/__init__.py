"""Conformance classes, fakes and golden cases for the authors of fulmen plugins."""

from __future__ import annotations

import fulmen_testing._assertions  # noqa: F401 - before the conformance classes, so that pytest explains their assertions
from fulmen_testing._boring import BoringModule, RandomDataset
from fulmen_testing._fake_accelerator import FAKE_ACCELERATOR_SPEC, FakeAccelerator
from fulmen_testing._fake_catalogue import fake_catalogue
from fulmen_testing._fake_checkpoints import FakeCheckpoints
from fulmen_testing._fake_logger import FAKE_LOGGER_SPEC, FakeLogger
from fulmen_testing._fake_precision import FAKE_PRECISION_SPEC, FakePrecision
from fulmen_testing._fake_strategy import FAKE_STRATEGY_SPEC, FakePreparedModel, FakeStrategy
from fulmen_testing._fake_trainer import FakeTrainer
from fulmen_testing._golden import GoldenCase, golden_cases, training_cases
from fulmen_testing._play import play_fit, play_validation
from fulmen_testing._programs import ProgramRun, assert_weights_close, run_program
from fulmen_testing._recording_callback import RecordingCallback
from fulmen_testing.conformance import (
    AcceleratorConformance,
    CallbackConformance,
    CheckpointIOConformance,
    Conformance,
    LoggerConformance,
    PrecisionConformance,
    StrategyConformance,
)

__all__ = [
    "FAKE_ACCELERATOR_SPEC",
    "FAKE_LOGGER_SPEC",
    "FAKE_PRECISION_SPEC",
    "FAKE_STRATEGY_SPEC",
    "AcceleratorConformance",
    "BoringModule",
    "CallbackConformance",
    "CheckpointIOConformance",
    "Conformance",
    "FakeAccelerator",
    "FakeCheckpoints",
    "FakeLogger",
    "FakePrecision",
    "FakePreparedModel",
    "FakeStrategy",
    "FakeTrainer",
    "GoldenCase",
    "LoggerConformance",
    "PrecisionConformance",
    "ProgramRun",
    "RandomDataset",
    "RecordingCallback",
    "StrategyConformance",
    "assert_weights_close",
    "fake_catalogue",
    "golden_cases",
    "play_fit",
    "play_validation",
    "run_program",
    "training_cases",
]
