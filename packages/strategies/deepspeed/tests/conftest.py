"""Runs the program of some processes once for all tests, and makes what they share importable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

PROGRAM = Path(__file__).parent / "deepspeed_program.py"
PATIENCE = 280.0
"""Seconds that the program may take on a busy machine."""
Ranks = list[dict[str, Any]]


def written(factory: pytest.TempPathFactory, parts: str) -> Path:
    """Return the folder with what the program wrote. It runs once, also where several pytest workers share it."""
    base = factory.getbasetemp()
    found = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"deepspeed-{parts}"
    outcome = found / "outcome.txt"
    try:
        found.mkdir()
    except FileExistsError:
        end = time.monotonic() + PATIENCE
        while not outcome.exists() and time.monotonic() < end:
            time.sleep(0.2)
    else:
        command = [sys.executable, str(PROGRAM), str(found), parts]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        part = found / "outcome.part"
        part.write_text(done.stderr if done.returncode else "")
        part.rename(outcome)
    assert outcome.read_text() == ""
    return found


def told(folder: Path) -> Ranks:
    return [json.loads(file.read_text()) for file in sorted(folder.glob("rank*.json"))]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the program wrote of training, states and evaluation."""
    return written(tmp_path_factory, "training,state,rest")


@pytest.fixture(scope="session")
def ranks(folder: Path) -> Ranks:
    """What it told of them, by rank."""
    return told(folder)


@pytest.fixture(scope="session")
def folder_of_windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the program wrote of accumulation windows."""
    return written(tmp_path_factory, "windows")


@pytest.fixture(scope="session")
def windows(folder_of_windows: Path) -> Ranks:
    """What it told of them, by rank."""
    return told(folder_of_windows)


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    """What it told of three processes, by rank."""
    return told(written(tmp_path_factory, "three"))
