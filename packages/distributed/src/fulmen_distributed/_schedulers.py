"""Cluster environments of MPI and LSF."""

from __future__ import annotations

import os
import socket
import zlib
from pathlib import Path
from typing import final

from fulmen_distributed._variables import number
from fulmen_interfaces import ClusterEnvironmentSpec, RankError, World

_PORTS = (10000, 5000)
_FAMILIES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
)
"""Rank, size, rank and number on this machine: as Open MPI's mpirun sets them; as Hydra (MPICH, Intel MPI) does."""
_LSF = ("LSB_JOBID", "LSB_DJOB_RANKFILE", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_LOCAL_RANK")


@final
class MPIEnvironment:
    """Processes that `mpirun` or `mpiexec` started.

    On one machine variables tell everything. Over several, rank zero's host and port are sent around by mpi4py, unless
    MASTER_ADDR and MASTER_PORT say them.
    """

    def __init__(self) -> None:
        self._meeting: tuple[str, int] | None = None

    @property
    def creates_processes(self) -> bool:
        """The processes exist."""
        return True

    @property
    def main_address(self) -> str:
        """`MASTER_ADDR`, this machine, or what rank zero tells."""
        return os.environ.get("MASTER_ADDR") or self._meet()[0]

    @property
    def main_port(self) -> int:
        """`MASTER_PORT`, one that follows from the job, or what rank zero tells."""
        return number("MASTER_PORT") if "MASTER_PORT" in os.environ else self._meet()[1]

    def world(self) -> World:
        """Return the place of this process. Raises RankError where a variable is missing."""
        rank, size, local_rank, local_size = (_number_of(names) for names in _family())
        return World(rank, size, local_rank, rank // local_size, max(1, size // local_size))

    def _meet(self) -> tuple[str, int]:
        if self._meeting is None:
            self._meeting = ("127.0.0.1", _port_of_job()) if self.world().num_nodes == 1 else _told_by_rank_zero()
        return self._meeting


@final
class LSFEnvironment:
    """Processes that LSF's `jsrun` started."""

    @property
    def creates_processes(self) -> bool:
        """The processes exist."""
        return True

    @property
    def main_address(self) -> str:
        """`MASTER_ADDR`, or the first host of the rank file that computes; its first line is the one that launches."""
        given = os.environ.get("MASTER_ADDR")
        return given or _ranked_hosts()[0]

    @property
    def main_port(self) -> int:
        """`MASTER_PORT`, or one that follows from the job's number."""
        if "MASTER_PORT" in os.environ:
            return number("MASTER_PORT")
        first, count = _PORTS
        return first + number("LSB_JOBID") % count

    def world(self) -> World:
        """Return the place of this process. Raises RankError where a variable is missing."""
        listed, here = _ranked_hosts(), socket.gethostname().partition(".")[0]
        names = [host.partition(".")[0] for host in listed]
        node = names.index(here) if here in names else 0
        return World(
            rank=number("JSM_NAMESPACE_RANK"),
            size=number("JSM_NAMESPACE_SIZE"),
            local_rank=number("JSM_NAMESPACE_LOCAL_RANK"),
            node_rank=node,
            num_nodes=len(listed),
        )


def _family() -> tuple[str, str, str, str]:
    return next((family for family in _FAMILIES if family[1] in os.environ), _FAMILIES[0])


def _number_of(name: str) -> int:
    """Return a variable; Hydra tells nothing of the machine where there is one only."""
    if name == "MPI_LOCALRANKID":
        return number(name, number("PMI_RANK"))
    return number(name, number("PMI_SIZE")) if name == "MPI_LOCALNRANKS" else number(name)


def _port_of_job() -> int:
    """Return a port that is the same in all processes that one mpirun started: by the job's name, or their parent."""
    first, count = _PORTS
    name = os.environ.get("PMIX_NAMESPACE")
    return first + (zlib.crc32(name.encode()) if name else os.getppid()) % count


def _told_by_rank_zero() -> tuple[str, int]:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise RankError(
            f"Processes on several machines must be told where rank zero is, but mpi4py does not work here: {error}. "
            "Set MASTER_ADDR and MASTER_PORT (`mpirun -x MASTER_ADDR=... -x MASTER_PORT=...`), or install mpi4py."
        ) from error
    with socket.socket() as probe:
        probe.bind(("", 0))
        mine = (socket.gethostname(), int(probe.getsockname()[1]))
    address, port = MPI.COMM_WORLD.bcast(mine, root=0)
    return str(address), int(port)


def _ranked_hosts() -> list[str]:
    """Return the machines that compute, each once, in the order of LSF's rank file."""
    path = Path(os.environ.get("LSB_DJOB_RANKFILE", ""))
    lines = path.read_text().split() if path.is_file() else []
    if not lines:
        raise RankError(
            f"LSB_DJOB_RANKFILE should name the file that lists the job's machines, but {str(path)!r} is none. "
            "Start the program with jsrun inside of an LSF job."
        )
    # The job's script runs on the first one, which jsrun uses for nothing else.
    return list(dict.fromkeys(lines[1:])) or lines


def _by_mpi() -> bool:
    return "SLURM_STEP_ID" not in os.environ and number(_family()[1], 1) > 1


def _by_lsf() -> bool:
    return all(name in os.environ for name in _LSF)


LSF_ENVIRONMENT = ClusterEnvironmentSpec(
    name="lsf",
    create=LSFEnvironment,
    summary="Processes that LSF's jsrun started.",
    detect=_by_lsf,
    priority=88,
)
MPI_ENVIRONMENT = ClusterEnvironmentSpec(
    name="mpi",
    create=MPIEnvironment,
    summary="Processes that mpirun started.",
    detect=_by_mpi,
    priority=85,
)
