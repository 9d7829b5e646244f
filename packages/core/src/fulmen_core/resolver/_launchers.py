"""How the processes of a plan come to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from fulmen_core.resolver._chosen import Chosen
from fulmen_core.resolver._lookup import Lookup
from fulmen_interfaces import (
    LAUNCHERS,
    ClusterEnvironment,
    LauncherSpec,
    LaunchSettings,
    PluginError,
    Problem,
    RankError,
    StrategySpec,
    World,
)

R = TypeVar("R")

STARTED_ELSEWHERE = "`torchrun --nproc-per-node <devices> <script>` starts the processes instead."


@dataclass(frozen=True)
class JoinLauncher:
    """Runs in the calling process as the one that a scheduler made it."""

    environment: ClusterEnvironment

    @property
    def interactive(self) -> bool:
        """It starts nothing, so it works everywhere."""
        return True

    def launch(self, main: Callable[[World], R], settings: LaunchSettings) -> R:
        """Call `main` once. Raises RankError where the scheduler started another number of processes."""
        world = self.environment.world()
        if world.size != settings.world_size:
            raise RankError(
                f"{settings.world_size} processes were planned, but {world.size} were started. "
                "Start as many as devices × num_nodes."
            )
        return main(world)


def choose_launcher(
    strategy: StrategySpec, asked: object, world_size: int, lookup: Lookup
) -> Chosen[LauncherSpec] | Problem | None:
    """Return what starts the processes: None where one is enough, or where they exist already."""
    if world_size == 1 or lookup.standing.world is not None:
        return None
    name = strategy.launcher
    if name is None:
        reason = f"{strategy.name} does not start its {world_size} processes itself."
        return Problem("strategy", asked, reason, STARTED_ELSEWHERE)
    try:
        found = lookup.find(LAUNCHERS, name)
    except PluginError as error:
        reason = f"{strategy.name} starts its processes by the launcher {name!r}. {error}"
        return Problem("strategy", asked, reason, STARTED_ELSEWHERE)
    if lookup.interactive and not found.spec.interactive:
        reason = f"{strategy.name} starts its processes by {name!r}, which does not work in notebooks and at a prompt."
        return Problem("strategy", asked, reason)
    return Chosen(found.spec, lookup.origin(LAUNCHERS, name), found.settings)
