"""The fakes keep the contracts that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fulmen_interfaces import DISABLED_PLUGINS_VARIABLE, CallbackRole, CallbackSpec, Logger
from fulmen_testing import (
    FAKE_ACCELERATOR_SPEC,
    FAKE_LOGGER_SPEC,
    FAKE_PRECISION_SPEC,
    FAKE_STRATEGY_SPEC,
    AcceleratorConformance,
    CallbackConformance,
    FakeCheckpoints,
    FakeLogger,
    LoggerConformance,
    PrecisionConformance,
    RecordingCallback,
    StrategyConformance,
)


class TestFakeAccelerator(AcceleratorConformance):
    spec = FAKE_ACCELERATOR_SPEC


class TestFakePrecision(PrecisionConformance):
    spec = FAKE_PRECISION_SPEC

    @pytest.fixture(autouse=True)
    def _instead_of_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # It has the name of the default precision, which may be installed here.
        monkeypatch.setenv(DISABLED_PLUGINS_VARIABLE, "fulmen-precision")


class TestFakeStrategy(StrategyConformance):
    spec = FAKE_STRATEGY_SPEC


class TestFakeLogger(LoggerConformance):
    spec = FAKE_LOGGER_SPEC

    def read_back(self, plugin: Logger) -> Sequence[Any]:
        assert isinstance(plugin, FakeLogger)
        return plugin.metrics


class TestRecordingCallback(CallbackConformance):
    spec = CallbackSpec(name="recording", create=RecordingCallback, summary="Keeps what was called.")


class TestFakeCheckpoints(CallbackConformance):
    spec = CallbackSpec(
        name="checkpoints", create=FakeCheckpoints, summary="Keeps what a test saves.", role=CallbackRole.CHECKPOINT
    )
