from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fulmen_interfaces import CallbackSpec, Logger
from fulmen_testing import (
    FAKE_ACCELERATOR_SPEC,
    FAKE_LOGGER_SPEC,
    FAKE_PRECISION_SPEC,
    FAKE_STRATEGY_SPEC,
    AcceleratorConformance,
    CallbackConformance,
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

    def test_name_leads_to_the_spec(self) -> None:
        """It has the name of the default precision, so that a catalogue of fakes suffices for a run."""

    test_name_leads_to_the_spec.pytestmark = []  # type: ignore[attr-defined]


class TestFakeStrategy(StrategyConformance):
    spec = FAKE_STRATEGY_SPEC


class TestFakeLogger(LoggerConformance):
    spec = FAKE_LOGGER_SPEC

    def read_back(self, plugin: Logger) -> Sequence[Any]:
        assert isinstance(plugin, FakeLogger)
        return plugin.metrics


class TestRecordingCallback(CallbackConformance):
    spec = CallbackSpec(name="recording", create=RecordingCallback, summary="Keeps what was called.")
