"""Cluster environments: what those who started a process tell it."""

from __future__ import annotations

import os
import re
from typing import final

from fulmen_distributed._variables import LAUNCHED, number
from fulmen_interfaces import ClusterEnvironmentSpec, World

_SLURM_PORTS = (15000, 10000)
_INTERACTIVE_JOBS = ("bash", "zsh", "sh", "interactive")


@final
class VariablesEnvironment:
    """Processes that know their place from torchrun's variables: torchrun itself and our own launchers set them."""

    @property
    def creates_processes(self) -> bool:
        """The processes exist."""
        return True

    @property
    def main_address(self) -> str:
        """Host at which rank zero listens."""
        return os.environ.get("MASTER_ADDR", "127.0.0.1")

    @property
    def main_port(self) -> int:
        """Port at which rank zero listens."""
        return number("MASTER_PORT")

    def world(self) -> World:
        """Return the place of this process. Raises RankError where a variable is missing."""
        size = number("WORLD_SIZE")
        per_node = number("LOCAL_WORLD_SIZE", size)
        rank = number("RANK")
        return World(rank, size, number("LOCAL_RANK"), number("GROUP_RANK", rank // per_node), size // per_node)


@final
class SlurmEnvironment:
    """Processes that `srun` started, one for each task."""

    @property
    def creates_processes(self) -> bool:
        """The processes exist."""
        return True

    @property
    def main_address(self) -> str:
        """`MASTER_ADDR`, or the first host of the step."""
        given = os.environ.get("MASTER_ADDR")
        return given or first_host(os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_NODELIST", ""))

    @property
    def main_port(self) -> int:
        """`MASTER_PORT`, or one that follows from the job's number, the same in all its processes."""
        if "MASTER_PORT" in os.environ:
            return number("MASTER_PORT")
        first, count = _SLURM_PORTS
        return first + number("SLURM_JOB_ID", 0) % count

    def world(self) -> World:
        """Return the place of this process. Raises RankError where a variable is missing."""
        return World(
            rank=number("SLURM_PROCID"),
            size=number("SLURM_NTASKS"),
            local_rank=number("SLURM_LOCALID"),
            node_rank=number("SLURM_NODEID", 0),
            num_nodes=number("SLURM_NNODES", 1),
        )


def first_host(hosts: str) -> str:
    """Return the first host of a SLURM list: `gpu[03-05,9],login` begins with `gpu03`."""
    match = re.match(r"([^,\[]+)(?:\[([^,\-\]]+))?", hosts)
    return f"{match[1]}{match[2] or ''}" if match else "127.0.0.1"


def _launched() -> bool:
    return LAUNCHED in os.environ


def _by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def _by_slurm() -> bool:
    tasks = os.environ.get("SLURM_NTASKS", "1")
    interactive = os.environ.get("SLURM_JOB_NAME") in _INTERACTIVE_JOBS
    return "SLURM_PROCID" in os.environ and tasks != "1" and not interactive


LAUNCHED_ENVIRONMENT = ClusterEnvironmentSpec(
    name="launched",
    create=VariablesEnvironment,
    summary="Processes that a launcher of fulmen started.",
    detect=_launched,
    priority=100,
)
TORCHRUN_ENVIRONMENT = ClusterEnvironmentSpec(
    name="torchrun",
    create=VariablesEnvironment,
    summary="Processes that torchrun started.",
    detect=_by_torchrun,
    priority=90,
)
SLURM_ENVIRONMENT = ClusterEnvironmentSpec(
    name="slurm",
    create=SlurmEnvironment,
    summary="Processes that srun started.",
    detect=_by_slurm,
    priority=80,
)
