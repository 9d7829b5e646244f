"""The arguments of a Trainer: what they are, whether they are right, and what they come to."""

from __future__ import annotations

from fulmen_core.settings._check import Reading, check_settings, read_settings
from fulmen_core.settings._configure import configure
from fulmen_core.settings._effective import EffectiveSettings, effective
from fulmen_core.settings._settings import Limit, TrainerPlugin, TrainerSettings

__all__ = [
    "EffectiveSettings",
    "Limit",
    "Reading",
    "TrainerPlugin",
    "TrainerSettings",
    "check_settings",
    "configure",
    "effective",
    "read_settings",
]
