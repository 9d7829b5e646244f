"""The logger keeps the contract of loggers, read from its file by the standard library."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fulmen_logger_csv import CSV_SPEC
from fulmen_testing import LoggerConformance


class TestCSVLogger(LoggerConformance):
    spec = CSV_SPEC

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Mapping[str, object]:
        return {"save_dir": str(tmp_path)}

    def read_back(self, plugin: Any) -> list[tuple[int, dict[str, float]]]:
        with open(Path(plugin.log_dir) / "metrics.csv", newline="") as file:
            rows = [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
        return [(int(row.pop("step")), row) for row in rows]
