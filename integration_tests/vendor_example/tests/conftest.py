"""The card is plugged in by `SIM_DEVICE=1`. Without it nothing here is collected: torch takes one such device type per
process, and would show it to every other test of that process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

collect_ignore_glob = [] if os.environ.get("SIM_DEVICE") == "1" else ["test_*.py"]
sys.path.insert(0, str(Path(__file__).parent))  # the tests share sim_cases
