"""What the entry point leads to."""

from __future__ import annotations

from fulmen_interfaces import LoggerSpec
from fulmen_logger_mlflow._logger import MLFlowLogger

MLFLOW_SPEC = LoggerSpec(
    name="mlflow",
    create=MLFlowLogger,
    summary="Metrics, hyper-parameters and checkpoints in MLflow",
)
