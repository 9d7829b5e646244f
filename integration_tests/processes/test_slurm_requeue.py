"""A job that SLURM warns of its end is saved, run again, and comes to the same weights."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from pathlib import Path
from typing import IO, Any, cast

import pytest
from process_tools import end, environment, free_port, printed_by, start

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


def tasks(folder: Path, ranks: tuple[int, ...] = (0, 1), **variables: object) -> list[subprocess.Popen[str]]:
    """Start the tasks of a job as srun does."""
    port = free_port(15000 + random.randrange(9000), 25000)
    common = {
        "PATH": f"{folder.parent}:{os.environ['PATH']}",
        "SLURM_JOB_ID": port - 15000,
        "SLURM_STEP_ID": 0,
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": 2,
        "SLURM_NTASKS_PER_NODE": 2,
        "SLURM_NNODES": 1,
        "SLURM_NODEID": 0,
        **variables,
    }
    places = [{"SLURM_PROCID": rank, "SLURM_LOCALID": rank} for rank in ranks]
    return [start("slurm_program.py", folder, env=environment(**common, **place)) for place in places]


def came_to(folder: Path, processes: list[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """Wait for both to end well, and return what they came to."""
    for process in processes:
        _, errors = printed_by(process)
        assert process.returncode == 0, errors
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    for one in cast(IO[str], process.stdout):
        if one.strip() == line:
            return
    raise AssertionError(cast(IO[str], process.stderr).read())


def fake_scontrol(folder: Path) -> Path:
    """Put a `scontrol` there that writes down how it is called."""
    calls, program = folder / "calls", folder / "scontrol"
    program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    program.chmod(0o755)
    return calls


def test_a_job_is_requeued_and_goes_on_where_it_was(tmp_path: Path) -> None:
    calls = fake_scontrol(tmp_path)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    array = {"SLURM_ARRAY_JOB_ID": 4711, "SLURM_ARRAY_TASK_ID": 3}
    expected = came_to(whole, tasks(whole))
    assert not calls.exists()

    first = tasks(cut, **array)
    try:
        wait_for(first[1], "step 4")
        first[1].send_signal(signal.SIGUSR1)  # one task may see the warning before the other
        codes = [process.wait(timeout=60) for process in first]
        assert codes == [128 + signal.SIGUSR1] * 2, [cast(IO[str], one.stderr).read() for one in first]
    finally:
        end(first)
    assert calls.read_text().split() == ["requeue", "4711_3"]
    (saved,) = cut.glob("*.ckpt")
    assert saved.name == "hpc_ckpt_4711_3_0.ckpt"

    second = came_to(cut, tasks(cut, **array, SLURM_RESTART_COUNT=1))
    for before, after in zip(expected, second, strict=True):
        assert after["weights"] == before["weights"]
        assert after["steps"] == before["steps"] == 40
        assert after["trained"] == before["trained"][-len(after["trained"]) :]
        assert 5 < len(after["trained"]) < 40
    assert calls.read_text().split() == ["requeue", "4711_3"]


def test_tasks_that_do_not_fit_are_refused_with_what_to_write(tmp_path: Path) -> None:
    processes = tasks(tmp_path, ranks=(0,), SLURM_NTASKS=8, SLURM_NTASKS_PER_NODE=4, SLURM_NNODES=2)
    _, errors = printed_by(processes[0])
    assert processes[0].returncode == 1
    assert "SLURM starts 4 tasks on each node, one for each device." in errors
    assert "#SBATCH --ntasks-per-node=2" in errors
    assert "Write num_nodes=2, or `#SBATCH --nodes=1`." in errors
