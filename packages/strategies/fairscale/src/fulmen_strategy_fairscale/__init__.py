"""Train with fulmen on several devices, each with a part of gradients and optimizer states: FairScale."""

from __future__ import annotations

from fulmen_strategy_fairscale._aliases import (
    DDP_SHARDED_FIND_UNUSED_PARAMETERS_FALSE,
    DDP_SHARDED_SPAWN_FIND_UNUSED_PARAMETERS_FALSE,
    FAIRSCALE,
)
from fulmen_strategy_fairscale._strategy import DDP_SHARDED_SPAWN_SPEC, DDP_SHARDED_SPEC, DDPShardedStrategy

__all__ = [
    "DDP_SHARDED_FIND_UNUSED_PARAMETERS_FALSE",
    "DDP_SHARDED_SPAWN_FIND_UNUSED_PARAMETERS_FALSE",
    "DDP_SHARDED_SPAWN_SPEC",
    "DDP_SHARDED_SPEC",
    "FAIRSCALE",
    "DDPShardedStrategy",
]
