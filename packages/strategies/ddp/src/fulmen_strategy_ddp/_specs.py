"""The words for the strategy: they differ in how processes are started, and in one setting."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from fulmen_interfaces import Alias, StrategySpec

if TYPE_CHECKING:
    from fulmen_strategy_ddp._strategy import DDPStrategy

StartMethod = Literal["popen", "spawn", "fork"]


def _create(start_method: StartMethod, **settings: Any) -> DDPStrategy:
    from fulmen_strategy_ddp._strategy import DDPStrategy

    return DDPStrategy(**{"start_method": start_method, **settings})


DDP_SPEC = StrategySpec(
    name="ddp",
    create=partial(_create, "popen"),
    summary="A copy of the model per device; the script is run once for each.",
    priority=50,
    launcher="subprocess",
)
DDP_NOTEBOOK_SPEC = StrategySpec(
    name="ddp_notebook",
    create=partial(_create, "fork"),
    summary="ddp for notebooks: processes are forked.",
    priority=40,
    launcher="fork",
)
DDP_FORK_SPEC = StrategySpec(
    name="ddp_fork",
    create=partial(_create, "fork"),
    summary="ddp with forked processes.",
    priority=30,
    launcher="fork",
)
DDP_SPAWN_SPEC = StrategySpec(
    name="ddp_spawn",
    create=partial(_create, "spawn"),
    summary="ddp with fresh processes, to which model and data are pickled.",
    priority=20,
    launcher="spawn",
)
SPECS: dict[StartMethod, StrategySpec] = {"popen": DDP_SPEC, "spawn": DDP_SPAWN_SPEC, "fork": DDP_FORK_SPEC}
"""What an object made by hand is, by its start method."""


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
