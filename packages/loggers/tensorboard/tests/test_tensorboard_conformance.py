"""The logger keeps the contract of loggers, read by TensorBoard's own reader."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fulmen_logger_tensorboard import TENSORBOARD_SPEC
from fulmen_testing import LoggerConformance


class TestTensorBoardLogger(LoggerConformance):
    spec = TENSORBOARD_SPEC

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Mapping[str, object]:
        return {"save_dir": str(tmp_path), "default_hp_metric": False}

    def read_back(self, plugin: Any) -> list[tuple[int, dict[str, float]]]:
        events = EventAccumulator(plugin.log_dir)
        events.Reload()
        rows: dict[int, dict[str, float]] = defaultdict(dict)
        for tag in events.Tags()["scalars"]:
            for scalar in events.Scalars(tag):
                rows[scalar.step][tag] = scalar.value
        return sorted(rows.items())
