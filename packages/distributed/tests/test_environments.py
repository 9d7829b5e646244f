from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from fulmen_distributed import (
    KUBEFLOW_ENVIRONMENT,
    LAUNCHED_ENVIRONMENT,
    LSF_ENVIRONMENT,
    MPI_ENVIRONMENT,
    SLURM_ENVIRONMENT,
    TORCHRUN_ENVIRONMENT,
    KubeflowEnvironment,
    LaunchedEnvironment,
    LSFEnvironment,
    MPIEnvironment,
    SLURMEnvironment,
    VariablesEnvironment,
)
from fulmen_interfaces import (
    CLUSTER_ENVIRONMENTS,
    LAUNCHERS,
    ChecksLaunch,
    ClusterEnvironmentSpec,
    LaunchSettings,
    RankError,
    SupportsRequeue,
    World,
    default_catalogue,
)

FOREIGN = ("SLURM_", "TORCHELASTIC_", "FULMEN_", "MASTER_", "RANK", "LOCAL_", "WORLD_SIZE", "GROUP_", "OMPI_", "PMI")
FOREIGN += ("MPI_", "LSB_", "JSM_", "KUBERNETES_")


@pytest.fixture(autouse=True)
def nothing_started_us(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(FOREIGN):
            monkeypatch.delenv(name)


def told(monkeypatch: pytest.MonkeyPatch, **variables: object) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))


def detected() -> list[str]:
    """Return the environments that say yes, the one that is taken first."""
    specs: list[ClusterEnvironmentSpec] = list(default_catalogue().specs(CLUSTER_ENVIRONMENTS))
    return [spec.name for spec in sorted(specs, key=lambda spec: -spec.priority) if spec.detect()]


def test_nothing_is_detected_in_a_plain_process() -> None:
    assert not detected()


def test_torchrun_tells_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, TORCHELASTIC_RUN_ID="job", RANK=5, WORLD_SIZE=8, LOCAL_RANK=1, LOCAL_WORLD_SIZE=4, GROUP_RANK=1)
    told(monkeypatch, MASTER_ADDR="first", MASTER_PORT=2900)
    assert TORCHRUN_ENVIRONMENT.detect()
    environment = VariablesEnvironment()
    assert environment.world() == World(rank=5, size=8, local_rank=1, node_rank=1, num_nodes=2)
    assert (environment.main_address, environment.main_port) == ("first", 2900)


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, WORLD_SIZE=2)
    with pytest.raises(RankError, match="The environment variable RANK"):
        VariablesEnvironment().world()


@pytest.mark.parametrize(
    ("hosts", "first"),
    [
        ("gpu[03-05,9],login", "gpu03"),
        ("rack[08-10]node[1-4]", "rack08node1"),
        ("alpha,beta", "alpha"),
        ("n[7,9]", "n7"),
        ("alone", "alone"),
        ("", "127.0.0.1"),
    ],
)
def test_slurm_processes_meet_on_the_first_host(monkeypatch: pytest.MonkeyPatch, hosts: str, first: str) -> None:
    told(monkeypatch, SLURM_STEP_NODELIST=hosts, SLURM_JOB_ID=1234567)
    environment = SLURMEnvironment()
    assert environment.main_address == first
    assert 15000 <= environment.main_port < 25000
    assert environment.main_port == SLURMEnvironment().main_port


def in_slurm(monkeypatch: pytest.MonkeyPatch, **variables: object) -> SLURMEnvironment:
    told(monkeypatch, SLURM_JOB_ID=77, SLURM_STEP_ID=0, SLURM_PROCID=3, SLURM_NTASKS=4, SLURM_LOCALID=1)
    told(monkeypatch, SLURM_NODEID=1, SLURM_NNODES=2, SLURM_NTASKS_PER_NODE=2)
    told(monkeypatch, **variables)
    return SLURMEnvironment()


def test_srun_tells_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = in_slurm(monkeypatch)
    assert SLURM_ENVIRONMENT.detect()
    assert environment.creates_processes
    assert environment.world() == World(rank=3, size=4, local_rank=1, node_rank=1, num_nodes=2)
    monkeypatch.delenv("SLURM_STEP_ID")  # a script that sbatch runs has no step, and is one process
    assert not environment.creates_processes
    told(monkeypatch, SLURM_JOB_NAME="bash")  # a shell on a node is no task
    assert not SLURM_ENVIRONMENT.detect()


def test_the_port_of_a_step_is_not_that_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = in_slurm(monkeypatch)
    first = environment.main_port
    told(monkeypatch, SLURM_STEP_ID=1)
    assert environment.main_port != first


@pytest.mark.parametrize(
    ("variables", "settings", "arguments", "remedies"),
    [
        ({}, LaunchSettings(2, 2), [], []),
        ({}, LaunchSettings(4, 2), ["devices"], ["devices=2", "#SBATCH --ntasks-per-node=4"]),
        ({}, LaunchSettings(2, 1), ["num_nodes"], ["num_nodes=2", "#SBATCH --nodes=1"]),
        ({"SLURM_NTASKS": 3, "SLURM_NTASKS_PER_NODE": 2}, LaunchSettings(2, 2), ["devices"], ["instead of --ntasks"]),
    ],
)
def test_tasks_that_are_not_one_for_each_device_are_named(
    variables: dict[str, int],
    settings: LaunchSettings,
    arguments: list[str],
    remedies: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = in_slurm(monkeypatch, **variables)
    assert isinstance(environment, ChecksLaunch)
    problems = environment.problems(settings)
    assert [problem.argument for problem in problems] == arguments
    for remedy in remedies:
        assert remedy in problems[0].remedy


def test_a_job_is_run_again_by_its_number_or_its_place_in_an_array(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    program = tmp_path / "scontrol"
    program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    program.chmod(0o755)
    told(monkeypatch, PATH=f"{tmp_path}:{os.environ['PATH']}")
    environment = in_slurm(monkeypatch)
    assert isinstance(environment, SupportsRequeue)
    environment.requeue()
    told(monkeypatch, SLURM_ARRAY_JOB_ID=70, SLURM_ARRAY_TASK_ID=7)
    environment.requeue()
    assert calls.read_text().splitlines() == ["requeue 77", "requeue 70_7"]
    program.write_text("#!/bin/sh\necho 'Job is not requeueable' >&2\nexit 1\n")
    with pytest.raises(RankError, match=r"Job is not requeueable\. Submit it with `#SBATCH --requeue`"):
        environment.requeue()
    told(monkeypatch, PATH="")
    with pytest.raises(RankError, match="`scontrol requeue 70_7` was to have the job run again"):
        environment.requeue()


def test_who_wants_no_requeue_gets_none() -> None:
    assert SLURMEnvironment().requeue_signal == signal.SIGUSR1
    assert SLURMEnvironment(requeue_signal=signal.SIGUSR2).requeue_signal == signal.SIGUSR2
    assert SLURMEnvironment(auto_requeue=False).requeue_signal is None


@pytest.mark.parametrize(
    ("rank", "size", "local_rank", "local_size"),
    [
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
        ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    ],
)
def test_mpirun_tells_the_place(
    rank: str, size: str, local_rank: str, local_size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(monkeypatch, **{rank: 5, size: 8, local_rank: 1, local_size: 4})
    assert MPI_ENVIRONMENT.detect()
    assert MPIEnvironment().world() == World(rank=5, size=8, local_rank=1, node_rank=1, num_nodes=2)
    told(monkeypatch, MASTER_ADDR="first", MASTER_PORT=2900)
    assert (MPIEnvironment().main_address, MPIEnvironment().main_port) == ("first", 2900)
    told(monkeypatch, SLURM_STEP_ID=0)  # srun starts MPI's processes, too, and knows more of them
    assert not MPI_ENVIRONMENT.detect()


def test_mpi_on_one_machine_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, OMPI_COMM_WORLD_RANK=1, OMPI_COMM_WORLD_SIZE=2, OMPI_COMM_WORLD_LOCAL_RANK=1)
    told(monkeypatch, OMPI_COMM_WORLD_LOCAL_SIZE=2, PMIX_NAMESPACE="prterun-host-1@1")
    assert MPIEnvironment().main_address == "127.0.0.1"
    assert MPIEnvironment().main_port == MPIEnvironment().main_port
    assert 10000 <= MPIEnvironment().main_port < 15000


def test_jsrun_tells_the_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ranks = tmp_path / "ranks"
    here = socket.gethostname()
    ranks.write_text(f"launch\nother\nother\n{here}\n{here}\n")
    told(monkeypatch, LSB_JOBID=1234567, LSB_DJOB_RANKFILE=ranks, JSM_NAMESPACE_RANK=3, JSM_NAMESPACE_SIZE=4)
    told(monkeypatch, JSM_NAMESPACE_LOCAL_RANK=1, OMPI_COMM_WORLD_SIZE=4)
    assert detected() == ["lsf", "mpi"]  # jsrun sets Open MPI's variables, too
    assert LSF_ENVIRONMENT.detect()
    environment = LSFEnvironment()
    assert environment.world() == World(rank=3, size=4, local_rank=1, node_rank=1, num_nodes=2)
    assert environment.main_address == "other"
    assert 10000 <= environment.main_port < 15000
    told(monkeypatch, LSB_DJOB_RANKFILE=tmp_path / "gone")
    with pytest.raises(RankError, match="LSB_DJOB_RANKFILE should name the file"):
        environment.world()


def test_a_pod_of_a_job_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, KUBERNETES_SERVICE_HOST="10.0.0.1", MASTER_ADDR="job-0", MASTER_PORT=23456, WORLD_SIZE=3, RANK=2)
    assert KUBEFLOW_ENVIRONMENT.detect()
    environment = KubeflowEnvironment()
    assert environment.world() == World(rank=2, size=3, local_rank=0, node_rank=2, num_nodes=3)
    assert (environment.main_address, environment.main_port) == ("job-0", 23456)
    told(monkeypatch, LOCAL_RANK=0)  # somebody started several in the pod
    assert not KUBEFLOW_ENVIRONMENT.detect()


def test_later_runs_of_a_program_must_use_the_processes_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"RANK": 3, "LOCAL_RANK": 1, "GROUP_RANK": 1, "WORLD_SIZE": 4, "LOCAL_WORLD_SIZE": 2}
    told(monkeypatch, FULMEN_LAUNCHED=1, **places)
    assert detected()[0] == "launched"
    environment = LaunchedEnvironment()
    assert not environment.problems(LaunchSettings(2, 2))
    (devices,) = environment.problems(LaunchSettings(1, 2))
    assert "Write devices=2 in all its runs; what one process is to do alone" in str(devices)
    assert [one.argument for one in environment.problems(LaunchSettings(1, 1))] == ["devices", "num_nodes"]


def test_torchrun_goes_before_what_it_runs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    in_slurm(monkeypatch, TORCHELASTIC_RUN_ID="job", OMPI_COMM_WORLD_SIZE=2)
    assert detected() == ["torchrun", "slurm"]
    told(monkeypatch, FULMEN_LAUNCHED=1)
    assert detected()[0] == "launched"
    assert LAUNCHED_ENVIRONMENT.detect()


def test_all_are_installed_as_plugins() -> None:
    catalogue = default_catalogue()
    assert {"kubeflow", "launched", "lsf", "mpi", "slurm", "torchrun"} <= set(catalogue.names(CLUSTER_ENVIRONMENTS))
    assert {"subprocess", "spawn", "fork", "forkserver"} <= set(catalogue.names(LAUNCHERS))
    assert not catalogue.find(LAUNCHERS, "subprocess").spec.interactive
    assert catalogue.find(LAUNCHERS, "fork").spec.interactive
