"""Other words for the strategy."""

from __future__ import annotations

from fulmen_interfaces import Alias


def _without_search(target: str) -> Alias:
    name = f"{target}_find_unused_parameters_false"
    return Alias(name=name, target=target, settings={"find_unused_parameters": False})


DDP_SHARDED_FIND_UNUSED_PARAMETERS_FALSE = _without_search("ddp_sharded")
DDP_SHARDED_SPAWN_FIND_UNUSED_PARAMETERS_FALSE = _without_search("ddp_sharded_spawn")
FAIRSCALE = Alias(name="fairscale", target="ddp_sharded")
