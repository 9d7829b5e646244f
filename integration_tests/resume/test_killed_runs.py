"""Processes that are killed without warning lose nothing that was saved, and come to the same end when resumed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forked")
PROGRAM = Path(__file__).parent / "kill_program.py"
MEGABYTE = 2**20


def killed(folder: Path, **plan: Any) -> dict[str, Any]:
    """Run the program, and return what came of it."""
    plan |= {"folder": str(folder)}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), json.dumps(plan)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(1200)])])
def test_runs_killed_at_any_moment_come_to_the_same_end(kills: int, tmp_path: Path) -> None:
    outcome = killed(tmp_path, how="at random", kills=kills, seed=kills, ballast=0)
    assert outcome["kills"] == kills
    assert not outcome["wrong"]


@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(1200)])])
def test_a_kill_during_writing_leaves_the_checkpoint_before_it(kills: int, tmp_path: Path) -> None:
    outcome = killed(tmp_path, how="while writing", kills=kills, seed=kills, ballast=3 * MEGABYTE)
    assert outcome["kills"] == kills
    assert outcome["amid writing"] >= kills / 4  # the others came when the file had just got its name
    assert not outcome["wrong"]
    # What killed writers left behind goes when the same file is written again.
    assert not [name for name in outcome["left"] if name.startswith(".last")]
