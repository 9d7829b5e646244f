"""Cluster environments whose processes know their place from torchrun's variables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import final

from fulmen_distributed._variables import LAUNCHED, number
from fulmen_interfaces import ClusterEnvironmentSpec, LaunchSettings, Problem, World

_ALONE = "; what one process is to do alone belongs under `if trainer.is_global_zero:`."
_KUBEFLOW = ("KUBERNETES_SERVICE_HOST", "MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK")


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
class LaunchedEnvironment(VariablesEnvironment):
    """Processes of a program that a launcher of ours started: each of its runs uses all of them."""

    def problems(self, settings: LaunchSettings) -> Sequence[Problem]:
        """Return where a run asks for others."""
        world = self.world()
        return other_processes(settings, LaunchSettings(world.size // world.num_nodes, world.num_nodes))


def other_processes(asked: LaunchSettings, running: LaunchSettings) -> list[Problem]:
    """Return what a later run of a program asks for that differs from the processes in which the program runs."""
    problems = []
    if asked.processes_per_node != running.processes_per_node:
        reason = f"This program runs in {running.processes_per_node} processes on this machine since its first run."
        remedy = f"Write devices={running.processes_per_node} in all its runs{_ALONE}"
        problems.append(Problem("devices", asked.processes_per_node, reason, remedy))
    if asked.num_nodes != running.num_nodes:
        reason = f"This program runs on {running.num_nodes} machines since its first run."
        remedy = f"Write num_nodes={running.num_nodes} in all its runs{_ALONE}"
        problems.append(Problem("num_nodes", asked.num_nodes, reason, remedy))
    return problems


@final
class KubeflowEnvironment(VariablesEnvironment):
    """Pods of Kubeflow's PyTorchJob without torchrun: one process in each."""

    def world(self) -> World:
        """Return the place of this process. Raises RankError where a variable is missing."""
        rank, size = number("RANK"), number("WORLD_SIZE")
        return World(rank=rank, size=size, local_rank=0, node_rank=rank, num_nodes=size)


def _launched() -> bool:
    return LAUNCHED in os.environ


def _by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def _by_kubeflow() -> bool:
    alone = "LOCAL_RANK" not in os.environ and all(name in os.environ for name in _KUBEFLOW)
    return alone and number("WORLD_SIZE") > 1


LAUNCHED_ENVIRONMENT = ClusterEnvironmentSpec(
    name="launched",
    create=LaunchedEnvironment,
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
KUBEFLOW_ENVIRONMENT = ClusterEnvironmentSpec(
    name="kubeflow",
    create=KubeflowEnvironment,
    summary="Pods of a PyTorchJob of Kubeflow.",
    detect=_by_kubeflow,
    priority=10,
)
