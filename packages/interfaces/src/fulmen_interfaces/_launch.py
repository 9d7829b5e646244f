"""How the processes of a run come to be: launchers and cluster environments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from fulmen_interfaces._world import World

R = TypeVar("R")


@dataclass(frozen=True)
class LaunchSettings:
    """How many processes are wanted, and where."""

    processes_per_node: int = 1
    num_nodes: int = 1

    @property
    def world_size(self) -> int:
        """Processes of the whole run."""
        return self.processes_per_node * self.num_nodes


@runtime_checkable
class ClusterEnvironment(Protocol):
    """What a scheduler tells each process: its place, and where all of them meet."""

    @property
    def creates_processes(self) -> bool:
        """Whether the scheduler starts the processes; if not, a launcher must."""
        ...

    @property
    def main_address(self) -> str:
        """Host at which rank zero listens."""
        ...

    @property
    def main_port(self) -> int:
        """Port at which rank zero listens."""
        ...

    def world(self) -> World:
        """Return the place of the calling process."""
        ...


@runtime_checkable
class Launcher(Protocol):
    """Starts the processes of a run."""

    @property
    def interactive(self) -> bool:
        """Whether it works where no script can be run again (notebooks, a prompt)."""
        ...

    def launch(self, main: Callable[[World], R], settings: LaunchSettings) -> R:
        """Run `main` in every process and return what it returned on rank zero.

        Raises the first failing rank's error, after all other processes have ended.
        """
        ...


class InProcessLauncher:
    """Runs in the calling process alone."""

    @property
    def interactive(self) -> bool:
        """It works everywhere."""
        return True

    def launch(self, main: Callable[[World], R], settings: LaunchSettings) -> R:
        """Call `main` once."""
        return main(World())
