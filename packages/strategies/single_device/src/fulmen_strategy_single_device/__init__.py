"""Train with fulmen on one device."""

from __future__ import annotations

from fulmen_strategy_single_device._strategy import SINGLE_DEVICE_SPEC, SingleDeviceStrategy

__all__ = ["SINGLE_DEVICE_SPEC", "SingleDeviceStrategy"]
