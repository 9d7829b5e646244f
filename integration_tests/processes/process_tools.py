"""Starting programs of this folder, and looking at their processes from outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PATIENCE = 120.0
"""Seconds that anything may take on a busy machine."""
_FOREIGN = ("SLURM_", "TORCHELASTIC_", "FULMEN_", "MASTER_", "RANK", "LOCAL_", "WORLD_SIZE", "GROUP_", "NODE_RANK")


def environment(**further: object) -> dict[str, str]:
    """Return the variables of this process without those that launchers and schedulers set, and some more."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    ours = {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    return {**own, **ours, **{name: str(value) for name, value in further.items()}}


def start(*words: object, **options: Any) -> subprocess.Popen[str]:
    """Start a program in a group of its own; its path is relative to this folder unless `cwd` is given."""
    command = [sys.executable, *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        command, text=True, start_new_session=True, **{**pipes, "env": environment(), "cwd": FOLDER, **options}
    )


def printed_by(program: subprocess.Popen[str], seconds: float = PATIENCE) -> tuple[str, str]:
    """Return what a program printed by its end. One that does not end in time fails the test, and says where it was."""
    try:
        return program.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        for pid in group(program.pid):
            os.kill(pid, signal.SIGABRT)  # Python prints where its threads are
        _, errors = program.communicate(timeout=PATIENCE)
        end([program])
        raise AssertionError(f"The program did not end within {seconds:.0f} s.\n{errors}") from None


def end(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Leave none of these processes, nor of their groups."""
    for process in processes:
        for pid in group(process.pid):
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
        process.wait()


def group(leader: int) -> list[int]:
    """Return the running processes of a group."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            state, _, its_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has just ended
            continue
        if int(its_group) == leader and state not in "ZX":
            found.append(int(entry.name))
    return found


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Return whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def free_port(first: int, last: int) -> int:
    """Return a port in that range at which nobody listens."""
    for port in range(first, last):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
