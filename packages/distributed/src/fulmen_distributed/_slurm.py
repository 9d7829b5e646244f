"""SLURM: processes that `srun` started, and jobs that are run again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import final

from fulmen_distributed._hosts import hosts
from fulmen_distributed._variables import number
from fulmen_interfaces import ClusterEnvironmentSpec, LaunchSettings, Problem, RankError, World

_PORTS = (15000, 10000)
_INTERACTIVE_JOBS = ("bash", "zsh", "sh", "interactive")
_HOSTS = ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST")
_REQUEUE_SECONDS = 60


@final
class SLURMEnvironment:
    """Processes that `srun` started, one for each task; and jobs that SLURM can run again.

    Args:
        auto_requeue: when SLURM warns that the job's time is over (`#SBATCH --signal=SIGUSR1@90`), finish the batch,
            save a checkpoint and have the job run again; it then goes on from there.
        requeue_signal: the signal by which SLURM warns; None: SIGUSR1.
    """

    def __init__(self, auto_requeue: bool = True, requeue_signal: signal.Signals | None = None) -> None:
        self._auto_requeue = auto_requeue
        self._signal = requeue_signal or getattr(signal, "SIGUSR1", None)

    @property
    def creates_processes(self) -> bool:
        """Whether `srun` started several; a script without srun, or one task alone, starts further ones itself."""
        return "SLURM_STEP_ID" in os.environ and number("SLURM_NTASKS", 1) > 1

    @property
    def main_address(self) -> str:
        """`MASTER_ADDR`, or the first host of the step."""
        given = os.environ.get("MASTER_ADDR")
        listed = next((os.environ[name] for name in _HOSTS if os.environ.get(name)), "")
        return given or next(hosts(listed), "127.0.0.1")

    @property
    def main_port(self) -> int:
        """`MASTER_PORT`, or one that follows from the numbers of job and step, the same in all its processes."""
        if "MASTER_PORT" in os.environ:
            return number("MASTER_PORT")
        first, count = _PORTS
        return first + (number("SLURM_JOB_ID", 0) + 131 * number("SLURM_STEP_ID", 0)) % count

    def world(self) -> World:
        """Return the place of this process. Raises RankError where a variable is missing."""
        return World(
            rank=number("SLURM_PROCID"),
            size=number("SLURM_NTASKS"),
            local_rank=number("SLURM_LOCALID"),
            node_rank=number("SLURM_NODEID", 0),
            num_nodes=number("SLURM_NNODES", 1),
        )

    def problems(self, settings: LaunchSettings) -> Sequence[Problem]:
        """Return where the job's tasks are not one for each device."""
        found = []
        nodes, tasks = number("SLURM_NNODES", 1), number("SLURM_NTASKS")
        wanted = f"#SBATCH --ntasks-per-node={settings.processes_per_node}"
        if nodes != settings.num_nodes:
            reason = f"SLURM gave this job {nodes} node{'s' if nodes > 1 else ''}."
            remedy = f"Write num_nodes={nodes}, or `#SBATCH --nodes={settings.num_nodes}`."
            found.append(Problem("num_nodes", settings.num_nodes, reason, remedy))
        per_node = number("SLURM_NTASKS_PER_NODE", tasks // nodes)
        if tasks != per_node * nodes:
            reason = f"SLURM spreads {tasks} tasks unevenly over {nodes} nodes, but each node uses as many devices."
            remedy = f"Write `{wanted}` instead of --ntasks."
            found.append(Problem("devices", settings.processes_per_node, reason, remedy))
        elif per_node != settings.processes_per_node:
            reason = f"SLURM starts {per_node} task{'s' if per_node > 1 else ''} on each node, one for each device."
            remedy = f"Write devices={per_node} or 'auto', or `{wanted}`."
            found.append(Problem("devices", settings.processes_per_node, reason, remedy))
        return found

    @property
    def requeue_signal(self) -> int | None:
        """The signal that warns; None where the job is not to be run again."""
        return self._signal if self._auto_requeue else None

    @property
    def job_id(self) -> str:
        """The job's number; of a job array, the array's and the task's: these stay when it is run again."""
        array = os.environ.get("SLURM_ARRAY_JOB_ID")
        if array is None:
            return os.environ.get("SLURM_JOB_ID", "0")
        return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}"

    def requeue(self) -> None:
        """Have the job run again. Raises RankError where SLURM refuses."""
        command = ["scontrol", "requeue", self.job_id]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_REQUEUE_SECONDS)
            trouble = done.stderr.strip() if done.returncode else ""
            failed = done.returncode != 0
        except (OSError, subprocess.TimeoutExpired) as error:
            trouble, failed = str(error), True
        if failed:
            raise RankError(
                f"`{' '.join(command)}` was to have the job run again, but failed: {trouble}. Submit it with "
                "`#SBATCH --requeue`, or leave that to yourself with SLURMEnvironment(auto_requeue=False)."
            )


def _by_slurm() -> bool:
    interactive = os.environ.get("SLURM_JOB_NAME") in _INTERACTIVE_JOBS
    return "SLURM_JOB_ID" in os.environ and "SLURM_PROCID" in os.environ and not interactive


SLURM_ENVIRONMENT = ClusterEnvironmentSpec(
    name="slurm",
    create=SLURMEnvironment,
    summary="Processes that srun started, and jobs that SLURM runs again.",
    detect=_by_slurm,
    priority=80,
)
