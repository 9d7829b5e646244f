"""Makes `kernel_cases`, which the tests of the kernel share, importable."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "loop"))
