"""What the strategies of fulmen share, and how the processes of a run come to be and speak to each other."""

from __future__ import annotations

from fulmen_distributed._batchnorm import RankedBatchNorm, synchronise_batchnorm
from fulmen_distributed._collectives import TorchCollectives
from fulmen_distributed._environments import (
    KUBEFLOW_ENVIRONMENT,
    LAUNCHED_ENVIRONMENT,
    TORCHRUN_ENVIRONMENT,
    KubeflowEnvironment,
    LaunchedEnvironment,
    VariablesEnvironment,
)
from fulmen_distributed._guarded import GuardedCollectives, guarded
from fulmen_distributed._launchers import FORK_LAUNCHER, FORKSERVER_LAUNCHER, SPAWN_LAUNCHER, SUBPROCESS_LAUNCHER
from fulmen_distributed._loss_scaling import requires_closure
from fulmen_distributed._module_init import OnDevice
from fulmen_distributed._multiprocess import MultiprocessingLauncher
from fulmen_distributed._norms import norm_over_ranks
from fulmen_distributed._plain_model import PlainModel
from fulmen_distributed._preparing import convert_in_place, copy_from_rank_zero, plain_model
from fulmen_distributed._process_group import DEFAULT_TIMEOUT, ProcessGroup
from fulmen_distributed._schedulers import LSF_ENVIRONMENT, MPI_ENVIRONMENT, LSFEnvironment, MPIEnvironment
from fulmen_distributed._sharded_state import (
    load_module,
    load_optimizer,
    named_optimizer_state,
    parameter_names,
    parameters_in_order,
    read_optimizer,
    state_dict_type_of,
)
from fulmen_distributed._slurm import SLURM_ENVIRONMENT, SLURMEnvironment
from fulmen_distributed._subprocess import SubprocessLauncher
from fulmen_distributed._weak_list import WeakList

__all__ = [
    "DEFAULT_TIMEOUT",
    "FORKSERVER_LAUNCHER",
    "FORK_LAUNCHER",
    "KUBEFLOW_ENVIRONMENT",
    "LAUNCHED_ENVIRONMENT",
    "LSF_ENVIRONMENT",
    "MPI_ENVIRONMENT",
    "SLURM_ENVIRONMENT",
    "SPAWN_LAUNCHER",
    "SUBPROCESS_LAUNCHER",
    "TORCHRUN_ENVIRONMENT",
    "GuardedCollectives",
    "KubeflowEnvironment",
    "LSFEnvironment",
    "LaunchedEnvironment",
    "MPIEnvironment",
    "MultiprocessingLauncher",
    "OnDevice",
    "PlainModel",
    "ProcessGroup",
    "RankedBatchNorm",
    "SLURMEnvironment",
    "SubprocessLauncher",
    "TorchCollectives",
    "VariablesEnvironment",
    "WeakList",
    "convert_in_place",
    "copy_from_rank_zero",
    "guarded",
    "load_module",
    "load_optimizer",
    "named_optimizer_state",
    "norm_over_ranks",
    "parameter_names",
    "parameters_in_order",
    "plain_model",
    "read_optimizer",
    "requires_closure",
    "state_dict_type_of",
    "synchronise_batchnorm",
]
