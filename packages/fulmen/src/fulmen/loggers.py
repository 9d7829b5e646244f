"""Loggers: where metrics and hyper-parameters are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fulmen._lazy import Offer, lazily

if TYPE_CHECKING:
    from fulmen_interfaces import Logger as Logger
    from fulmen_interfaces import rank_zero_experiment as rank_zero_experiment
    from fulmen_logger_csv import CSVLogger as CSVLogger
    from fulmen_logger_mlflow import MLFlowLogger as MLFlowLogger
    from fulmen_logger_tensorboard import TensorBoardLogger as TensorBoardLogger
    from fulmen_logger_wandb import WandbLogger as WandbLogger

_NAMES = {
    "CSVLogger": "fulmen_logger_csv",
    "Logger": "fulmen_interfaces",
    "MLFlowLogger": "fulmen_logger_mlflow",
    "TensorBoardLogger": "fulmen_logger_tensorboard",
    "WandbLogger": "fulmen_logger_wandb",
    "rank_zero_experiment": "fulmen_interfaces",
}

__getattr__, __dir__ = lazily(Offer(__name__, _NAMES))
