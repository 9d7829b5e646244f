"""Makes `loop/kernel_cases`, which tests of several folders share, importable."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "loop"))
