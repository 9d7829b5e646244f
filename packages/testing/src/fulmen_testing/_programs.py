"""Programs that run on several ranks, looked at from outside."""
# ruff: noqa: S101

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class ProgramRun:
    """What a program left behind."""

    ranks: list[Any]
    """What each of its ranks wrote."""
    stderr: str
    """What all of them said."""


def run_program(
    program: str | Path, folder: Path, *arguments: object, ranks: int = 2, timeout: float = 300
) -> ProgramRun:
    """Run `python PROGRAM FOLDER ARGUMENT...`, each of whose ranks is to write `rank0.json`, ... into the folder.

    Raises AssertionError, with all that it said, where it fails, and subprocess.TimeoutExpired after so many seconds.
    """
    command = [sys.executable, *map(str, (program, folder, *arguments))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(ranks)]
    return ProgramRun(found, done.stderr)


def assert_weights_close(
    actual: Mapping[str, Sequence[float]], expected: Mapping[str, Sequence[float]], tolerance: float = 1e-6
) -> None:
    """Compare flat weights by name, in any order; no number may be off by more than the tolerance."""
    assert actual.keys() == expected.keys()
    for name, values in expected.items():
        assert actual[name] == pytest.approx(values, abs=tolerance), name
