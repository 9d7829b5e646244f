"""Programs of several ranks are run and read, and say why they failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fulmen_testing import assert_weights_close, run_program

WRITES = """
import json, sys
from pathlib import Path
folder, *words = sys.argv[1:]
for rank in range(3):
    (Path(folder) / f"rank{rank}.json").write_text(json.dumps([rank, *words]))
print("done", file=sys.stderr)
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "program.py"
    path.write_text(text)
    return path


def test_what_the_ranks_wrote_is_returned(tmp_path: Path) -> None:
    ran = run_program(written(tmp_path, WRITES), tmp_path, "a", 2, ranks=3)
    assert ran.ranks == [[0, "a", "2"], [1, "a", "2"], [2, "a", "2"]]
    assert ran.stderr == "done\n"


def test_a_failure_says_what_the_program_said(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="KeyError: 'no such rank'"):
        run_program(written(tmp_path, "raise KeyError('no such rank')"), tmp_path)


def test_weights_agree_by_name_within_the_tolerance() -> None:
    assert_weights_close({"b": [2.0], "a": [1.0, 0.0]}, {"a": [1.0 + 1e-7, 1e-7], "b": [2.0]})
    assert_weights_close({"a": [1.0]}, {"a": [1.01]}, tolerance=0.1)
    with pytest.raises(AssertionError, match="a"):
        assert_weights_close({"a": [1.0]}, {"a": [1.01]})
    with pytest.raises(AssertionError, match="b"):
        assert_weights_close({"a": [1.0]}, {"a": [1.0], "b": []})
