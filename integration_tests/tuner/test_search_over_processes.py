"""A search over two processes: each of them comes to what one process comes to with batches of twice the size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
def test_two_processes_search_like_one_with_larger_batches(strategy, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    from search_program import search

    found = tmp_path / "found.json"
    program = str(HERE / "search_program.py")
    subprocess.run([sys.executable, program, strategy, str(found)], check=True, cwd=tmp_path, timeout=240)
    outcome, expected = json.loads(found.read_text()), search(8)
    assert outcome["lr"] == outcome["suggestion"] == pytest.approx(expected["lr"])
    assert outcome["losses"] == pytest.approx(expected["losses"], rel=1e-4)
    assert outcome["weights"] == pytest.approx(expected["weights"], rel=1e-4)
