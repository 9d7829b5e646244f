"""The logger keeps the contract of loggers, read from its store by MLflow's own client."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from fulmen_logger_mlflow import MLFLOW_SPEC
from fulmen_testing import LoggerConformance


class TestMLFlowLogger(LoggerConformance):
    spec = MLFLOW_SPEC

    @pytest.fixture
    def settings(self, store: Path) -> Mapping[str, object]:
        return {"save_dir": str(store)}

    def read_back(self, plugin: Any) -> list[tuple[int, dict[str, float]]]:
        client = MlflowClient(tracking_uri=f"sqlite:///{plugin.save_dir}/mlflow.db")
        rows: dict[int, dict[str, float]] = defaultdict(dict)
        for name in client.get_run(plugin.version).data.metrics:
            for metric in client.get_metric_history(plugin.version, name):
                rows[metric.step][name] = metric.value
        return sorted(rows.items())
