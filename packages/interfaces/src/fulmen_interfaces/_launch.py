"""How the processes of a run come to be: launchers and cluster environments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from fulmen_interfaces._errors import Problem
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
class ChecksLaunch(Protocol):
    """An environment that can say more of processes that do not fit than that their number is wrong."""

    def problems(self, settings: LaunchSettings) -> Sequence[Problem]:
        """Return what is wrong with the processes that were started, given what the run wants; empty for nothing."""
        ...


@runtime_checkable
class SupportsRequeue(Protocol):
    """An environment whose scheduler warns of a job's end by a signal, and can run the job again."""

    @property
    def requeue_signal(self) -> int | None:
        """The signal that warns; None: the job is not to be run again, and signals are left alone."""
        ...

    @property
    def job_id(self) -> str:
        """What stays the same when the job is run again; part of a file's name."""
        ...

    def requeue(self) -> None:
        """Ask the scheduler to run the job again. Called on rank zero, once a checkpoint of the run is written.

        Raises RankError where the scheduler refuses.
        """
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
