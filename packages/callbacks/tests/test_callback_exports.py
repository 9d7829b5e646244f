"""What the package offers."""

from __future__ import annotations

import subprocess
import sys

import fulmen_callbacks


def test_all_that_is_promised_is_there() -> None:
    assert [name for name in fulmen_callbacks.__all__ if not hasattr(fulmen_callbacks, name)] == []
    public = {name for name in vars(fulmen_callbacks) if not name.startswith("_") and name != "annotations"}
    assert public == set(fulmen_callbacks.__all__)


def test_importing_is_cheap() -> None:
    """Every default Trainer imports it: nothing that draws may come along."""
    program = "import sys, torch; before = set(sys.modules); import fulmen_callbacks; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"rich", "tqdm", "psutil", "fsspec", "yaml", "fulmen_core"})
