"""What the strategies of fulmen share, and how the processes of a run come to be and speak to each other."""

from __future__ import annotations

from fulmen_distributed._collectives import TorchCollectives
from fulmen_distributed._environments import (
    LAUNCHED_ENVIRONMENT,
    SLURM_ENVIRONMENT,
    TORCHRUN_ENVIRONMENT,
    SlurmEnvironment,
    VariablesEnvironment,
)
from fulmen_distributed._launchers import FORK_LAUNCHER, SPAWN_LAUNCHER, SUBPROCESS_LAUNCHER
from fulmen_distributed._multiprocess import MultiprocessingLauncher
from fulmen_distributed._plain_model import PlainModel
from fulmen_distributed._process_group import DEFAULT_TIMEOUT, ProcessGroup
from fulmen_distributed._subprocess import SubprocessLauncher

__all__ = [
    "DEFAULT_TIMEOUT",
    "FORK_LAUNCHER",
    "LAUNCHED_ENVIRONMENT",
    "SLURM_ENVIRONMENT",
    "SPAWN_LAUNCHER",
    "SUBPROCESS_LAUNCHER",
    "TORCHRUN_ENVIRONMENT",
    "MultiprocessingLauncher",
    "PlainModel",
    "ProcessGroup",
    "SlurmEnvironment",
    "SubprocessLauncher",
    "TorchCollectives",
    "VariablesEnvironment",
]
