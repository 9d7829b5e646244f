"""Log the metrics, hyper-parameters and checkpoints of a fulmen run to MLflow."""

from __future__ import annotations

from fulmen_logger_mlflow._logger import MLFlowLogger
from fulmen_logger_mlflow._spec import MLFLOW_SPEC

__all__ = ["MLFLOW_SPEC", "MLFlowLogger"]
