"""The trainer's properties, by theme: what the present run shows, or the last one where none is under way."""

from __future__ import annotations

from fulmen_core.trainer.properties._base import TrainerBase
from fulmen_core.trainer.properties._data import DataProperties
from fulmen_core.trainer.properties._hardware import HardwareProperties
from fulmen_core.trainer.properties._metrics import MetricProperties
from fulmen_core.trainer.properties._model import ModelProperties
from fulmen_core.trainer.properties._progress import ProgressProperties, TrainerState
from fulmen_core.trainer.properties._settings import SettingsProperties

__all__ = [
    "DataProperties",
    "HardwareProperties",
    "MetricProperties",
    "ModelProperties",
    "ProgressProperties",
    "SettingsProperties",
    "TrainerBase",
    "TrainerState",
]
