from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from fulmen_logger_mlflow import MLFLOW_SPEC
from fulmen_testing import LoggerConformance


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables: making them takes seconds."""
    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments()
    return file


class TestMLFlowLogger(LoggerConformance):
    spec = MLFLOW_SPEC

    @pytest.fixture
    def settings(self, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, object]:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        shutil.copy(empty_database, tmp_path)
        return {"save_dir": str(tmp_path)}

    def read_back(self, plugin: Any) -> list[tuple[int, dict[str, float]]]:
        client = MlflowClient(tracking_uri=f"sqlite:///{plugin.save_dir}/mlflow.db")
        rows: dict[int, dict[str, float]] = defaultdict(dict)
        for name in client.get_run(plugin.version).data.metrics:
            for metric in client.get_metric_history(plugin.version, name):
                rows[metric.step][name] = metric.value
        return sorted(rows.items())
