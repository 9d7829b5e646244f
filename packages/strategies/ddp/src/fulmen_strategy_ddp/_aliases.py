"""Other words for the strategy: they set whether unused parameters are looked for."""

from __future__ import annotations

from fulmen_interfaces import Alias


def _alias(target: str, find: bool) -> Alias:
    name = f"{target}_find_unused_parameters_{str(find).lower()}"
    return Alias(name=name, target=target, settings={"find_unused_parameters": find})


DDP_FIND_UNUSED_PARAMETERS_FALSE = _alias("ddp", False)
DDP_FIND_UNUSED_PARAMETERS_TRUE = _alias("ddp", True)
DDP_FORK_FIND_UNUSED_PARAMETERS_FALSE = _alias("ddp_fork", False)
DDP_FORK_FIND_UNUSED_PARAMETERS_TRUE = _alias("ddp_fork", True)
DDP_NOTEBOOK_FIND_UNUSED_PARAMETERS_FALSE = _alias("ddp_notebook", False)
DDP_NOTEBOOK_FIND_UNUSED_PARAMETERS_TRUE = _alias("ddp_notebook", True)
DDP_SPAWN_FIND_UNUSED_PARAMETERS_FALSE = _alias("ddp_spawn", False)
DDP_SPAWN_FIND_UNUSED_PARAMETERS_TRUE = _alias("ddp_spawn", True)
