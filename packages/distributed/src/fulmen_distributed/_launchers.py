"""The launchers as plugins."""

from __future__ import annotations

from functools import partial

from fulmen_distributed._multiprocess import MultiprocessingLauncher
from fulmen_distributed._subprocess import SubprocessLauncher
from fulmen_interfaces import LauncherSpec

SUBPROCESS_LAUNCHER = LauncherSpec(
    name="subprocess",
    create=SubprocessLauncher,
    summary="Runs the script once more for each further device.",
)
SPAWN_LAUNCHER = LauncherSpec(
    name="spawn",
    create=partial(MultiprocessingLauncher, "spawn"),
    summary="Starts fresh processes, to which model and data are pickled.",
    interactive=True,
)
FORKSERVER_LAUNCHER = LauncherSpec(
    name="forkserver",
    create=partial(MultiprocessingLauncher, "forkserver"),
    summary="Forks a server that holds nothing yet; model and data are pickled.",
    interactive=True,
)
FORK_LAUNCHER = LauncherSpec(
    name="fork",
    create=partial(MultiprocessingLauncher, "fork"),
    summary="Forks the calling process; also for notebooks.",
    interactive=True,
)
