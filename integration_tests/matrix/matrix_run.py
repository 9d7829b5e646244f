"""Starting the programs that train cells, and reading what came of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from matrix_cells import Cell, Group, precisions
from matrix_model import BATCH, STEPS, WINDOW, Loop, deviation, tolerance

from fulmen_core import consolidate_checkpoint

PROGRAM = Path(__file__).parent / "matrix_program.py"
PATIENCE = 150
"""Seconds without a further cell after which a program is taken to hang."""
_TRUTH = Loop().weights()


@dataclass(frozen=True)
class Outcome:
    """What came of one cell."""

    cell: Cell
    apart: float | None
    """How far the weights were from the plain loop; None where it did not come that far."""
    wrong: str = ""
    """What was wrong, or nothing."""


def run(group: Group, folder: Path) -> list[Outcome]:
    """Train a group's cells. After one that fails, the rest is trained by a new program."""
    left, outcomes = list(group.cells), []
    while left:
        errors = _start(group, left, folder)
        while left and (outcome := _outcome(left[0], folder)) is not None:
            outcomes.append(outcome)
            left.pop(0)
        if left:
            outcomes.append(Outcome(left[0], None, _what_went_wrong(folder / left.pop(0).id, errors)))
    return outcomes


def _what_went_wrong(folder: Path, errors: str | None) -> str:
    told = "\n".join(path.read_text() for path in sorted(folder.glob("error*.txt")))
    return (told or errors or "The program ended well, but said nothing of it.")[-4000:]


def _start(group: Group, cells: list[Cell], folder: Path) -> str | None:
    """Run a program to its end; return what it wrote to its standard error where it failed."""
    command = [sys.executable, str(PROGRAM), str(folder), json.dumps([asdict(cell) for cell in cells])]
    places: list[dict[str, str]] = [{}]
    if group.devices > 1 and group.launcher is None:
        places = _as_torchrun_tells(group.devices)
    started = [
        subprocess.Popen(
            command,
            env={**_environment(), **place},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for place in places
    ]
    try:
        return _wait(started, cells)
    finally:
        for one in started:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(one.pid, signal.SIGKILL)
            one.wait()


def _wait(started: list[subprocess.Popen[str]], cells: list[Cell]) -> str | None:
    told = []
    for one in started:
        try:
            _, errors = one.communicate(timeout=PATIENCE + 5 * len(cells))
        except subprocess.TimeoutExpired:
            return f"It did not end within {PATIENCE + 5 * len(cells)} seconds."
        if one.returncode != 0:
            # The other ranks wait for one that failed.
            return errors or f"It ended with exit code {one.returncode}."
        told.append(errors)
    return None


def _environment() -> dict[str, str]:
    ours = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID")
    kept = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("FULMEN_")}
    return {**kept, "OMP_NUM_THREADS": "1"}


def _as_torchrun_tells(processes: int) -> list[dict[str, str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "matrix",
    }
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0"} for rank in range(processes)]


def _outcome(cell: Cell, folder: Path) -> Outcome | None:
    """Return what came of a cell, or None where not all its processes have told."""
    reports = [folder / cell.id / f"rank{rank}.json" for rank in range(cell.devices)]
    if not all(report.exists() for report in reports):
        return None
    policy = next(spec.policy for spec in precisions() if spec.name == cell.precision)
    seen = [json.loads(report.read_text()) for report in reports]
    apart = deviation(_weights(folder / cell.id), _TRUTH)
    expected = {
        "steps": STEPS,
        "world": cell.devices,
        "computed_in": [str(policy.compute)],
        "samples": STEPS * WINDOW * BATCH // cell.devices,
    }
    wrong = [f"rank {rank}: {told}" for rank, told in enumerate(seen) if not _holds(told, expected)]
    if len({told["pid"] for told in seen}) < cell.devices:
        wrong.append("ranks shared a process")
    if not apart <= tolerance(policy):
        wrong.append(f"weights are {apart:.2g} away, more than {tolerance(policy):.2g}")
    return Outcome(cell, apart, "; ".join(wrong))


def _holds(told: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    return all(told[key] == value for key, value in expected.items())


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    """Read the checkpoint; a directory is made a file first."""
    path = folder / "trained.ckpt"
    if path.is_dir():
        whole = folder / "whole.ckpt"
        consolidate_checkpoint(path, whole)
        path = whole
    weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu")["state_dict"]
    return weights
