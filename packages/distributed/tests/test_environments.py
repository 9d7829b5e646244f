from __future__ import annotations

import os

import pytest

from fulmen_distributed import (
    LAUNCHED_ENVIRONMENT,
    SLURM_ENVIRONMENT,
    TORCHRUN_ENVIRONMENT,
    SlurmEnvironment,
    VariablesEnvironment,
)
from fulmen_interfaces import CLUSTER_ENVIRONMENTS, LAUNCHERS, RankError, World, default_catalogue

FOREIGN = ("SLURM_", "TORCHELASTIC_", "FULMEN_LAUNCHED", "MASTER_", "RANK", "LOCAL_", "WORLD_SIZE", "GROUP_")


@pytest.fixture(autouse=True)
def nothing_started_us(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(FOREIGN):
            monkeypatch.delenv(name)


def told(monkeypatch: pytest.MonkeyPatch, **variables: object) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))


def test_nothing_is_detected_in_a_plain_process() -> None:
    assert not any(spec.detect() for spec in (LAUNCHED_ENVIRONMENT, TORCHRUN_ENVIRONMENT, SLURM_ENVIRONMENT))


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
    [("gpu[03-05,9],login", "gpu03"), ("alpha,beta", "alpha"), ("n[7,9]", "n7"), ("alone", "alone"), ("", "127.0.0.1")],
)
def test_slurm_processes_meet_on_the_first_host(monkeypatch: pytest.MonkeyPatch, hosts: str, first: str) -> None:
    told(monkeypatch, SLURM_STEP_NODELIST=hosts, SLURM_JOB_ID=1234567)
    environment = SlurmEnvironment()
    assert environment.main_address == first
    assert 15000 <= environment.main_port < 25000
    assert environment.main_port == SlurmEnvironment().main_port


def test_srun_tells_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, SLURM_PROCID=3, SLURM_NTASKS=4, SLURM_LOCALID=1, SLURM_NODEID=1, SLURM_NNODES=2)
    assert SLURM_ENVIRONMENT.detect()
    assert SlurmEnvironment().world() == World(rank=3, size=4, local_rank=1, node_rank=1, num_nodes=2)
    told(monkeypatch, SLURM_JOB_NAME="bash")  # a shell on a node is no task
    assert not SLURM_ENVIRONMENT.detect()


def test_all_are_installed_as_plugins() -> None:
    catalogue = default_catalogue()
    assert {"launched", "slurm", "torchrun"} <= set(catalogue.names(CLUSTER_ENVIRONMENTS))
    assert {"subprocess", "spawn", "fork"} <= set(catalogue.names(LAUNCHERS))
    assert not catalogue.find(LAUNCHERS, "subprocess").spec.interactive
    assert catalogue.find(LAUNCHERS, "fork").spec.interactive
