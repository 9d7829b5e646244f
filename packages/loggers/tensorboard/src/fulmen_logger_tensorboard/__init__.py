"""Log the metrics, graphs and hyper-parameters of a fulmen run to TensorBoard."""

from __future__ import annotations

from fulmen_logger_tensorboard._logger import TensorBoardLogger
from fulmen_logger_tensorboard._spec import TENSORBOARD_SPEC

__all__ = ["TENSORBOARD_SPEC", "TensorBoardLogger"]
