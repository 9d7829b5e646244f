"""Strategies: how training is spread over devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fulmen._lazy import Offer, lazily

if TYPE_CHECKING:
    from fulmen_interfaces import Strategy as Strategy
    from fulmen_strategy_ddp import DDPStrategy as DDPStrategy
    from fulmen_strategy_deepspeed import DeepSpeedStrategy as DeepSpeedStrategy
    from fulmen_strategy_fairscale import DDPShardedStrategy as DDPShardedStrategy
    from fulmen_strategy_fsdp import FSDPStrategy as FSDPStrategy
    from fulmen_strategy_single_device import SingleDeviceStrategy as SingleDeviceStrategy

_NAMES = {
    "DDPShardedStrategy": "fulmen_strategy_fairscale",
    "DDPStrategy": "fulmen_strategy_ddp",
    "DeepSpeedStrategy": "fulmen_strategy_deepspeed",
    "FSDPStrategy": "fulmen_strategy_fsdp",
    "SingleDeviceStrategy": "fulmen_strategy_single_device",
    "Strategy": "fulmen_interfaces",
}

__getattr__, __dir__ = lazily(Offer(__name__, _NAMES))
