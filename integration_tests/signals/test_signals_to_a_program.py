"""Signals from outside: how the program ends, as a shell sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, cast

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals to a group of processes")
PROGRAM = Path(__file__).parent / "signal_program.py"


def started(*, workers: int = 0, seconds: float = 0.05) -> subprocess.Popen[str]:
    """Start the program in a group of its own, and return when its third step has begun."""
    program = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(workers), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    wanted = "step 2" if seconds < 1 else "step 0"
    for line in cast(IO[str], program.stdout):
        if line.strip() == wanted:
            return program
    raise AssertionError(f"the program ended by itself: {cast(IO[str], program.stderr).read()}")


def rest(program: subprocess.Popen[str]) -> list[str]:
    """Return what the program still prints until it ends."""
    out, _ = program.communicate(timeout=60)
    return out.splitlines()


@pytest.mark.parametrize(
    ("number", "code", "error"),
    [(signal.SIGINT, 130, "KeyboardInterrupt"), (signal.SIGTERM, 143, "Terminated")],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_the_whole_group_gets_the_signal_and_the_program_ends_in_order(
    number: signal.Signals, code: int, error: str
) -> None:
    """As a terminal sends Ctrl-C and SLURM sends SIGTERM: to the workers of loaders, too."""
    program = started(workers=2)
    os.killpg(program.pid, number)
    lines = rest(program)
    assert program.returncode == code
    assert lines[-2:] == [f"on_exception {error}", "teardown fit"]
    assert lines[-3].startswith("end ")  # the batch under way was finished


def test_a_second_ctrl_c_does_not_wait_for_the_batch() -> None:
    program = started(seconds=600)
    os.kill(program.pid, signal.SIGINT)
    for line in cast(IO[str], program.stderr):
        if "SIGINT received" in line:
            break
    os.kill(program.pid, signal.SIGINT)
    assert rest(program) == ["on_exception KeyboardInterrupt", "teardown fit"]
    assert program.returncode == 130
