"""The environment variables by which processes of a run know their place; the names are torchrun's."""

from __future__ import annotations

import os

from fulmen_interfaces import ConfigurationError, LaunchSettings, Problem, RankError, World

LAUNCHED = "FULMEN_LAUNCHED"
"""Set in processes that a launcher of ours started, or joined."""
REPORTS = "FULMEN_REPORTS"
"""The folder in which a process writes why it failed."""


def number(name: str, default: int | None = None) -> int:
    """Return a variable as a number. Raises RankError where it is missing or none."""
    text = os.environ.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise RankError(
            f"The environment variable {name} should be this process' number among others, but it is {text!r}. "
            "Start the processes with a launcher of fulmen, torchrun or srun, which set it."
        ) from None


def variables_of(world: World, *, per_node: int, address: str, port: int) -> dict[str, str]:
    """Return what the process with that place is told."""
    values: dict[str, object] = {
        "RANK": world.rank,
        "LOCAL_RANK": world.local_rank,
        "GROUP_RANK": world.node_rank,
        "NODE_RANK": world.node_rank,
        "WORLD_SIZE": world.size,
        "LOCAL_WORLD_SIZE": per_node,
        "MASTER_ADDR": address,
        "MASTER_PORT": port,
        LAUNCHED: 1,
    }
    return {name: str(value) for name, value in values.items()}


def worlds_here(settings: LaunchSettings) -> list[World]:
    """Return the places of this machine's processes. Which machine it is, `NODE_RANK` tells."""
    node = number("NODE_RANK", 0)
    per_node = settings.processes_per_node
    return [
        World(node * per_node + local, settings.world_size, local, node, settings.num_nodes)
        for local in range(per_node)
    ]


def meeting_point() -> tuple[str, int]:
    """Return host and port at which rank zero of several machines listens: what the user set."""
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    if not (address and port and "NODE_RANK" in os.environ):
        reason = "The script is to be started on every machine, and each must know where the first one listens."
        remedy = "Set MASTER_ADDR, MASTER_PORT and NODE_RANK on each machine, or start it with torchrun or srun."
        raise ConfigurationError([Problem("num_nodes", "several", reason, remedy)])
    return address, int(port)


def threads_for(processes: int) -> int:
    """Return how many threads each of so many processes should compute with on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // processes)
