"""What the entry point leads to."""

from __future__ import annotations

from fulmen_interfaces import LoggerSpec
from fulmen_logger_tensorboard._logger import TensorBoardLogger

TENSORBOARD_SPEC = LoggerSpec(
    name="tensorboard",
    create=TensorBoardLogger,
    summary="Metrics, graphs and hyper-parameters in TensorBoard",
    priority=100,
)
