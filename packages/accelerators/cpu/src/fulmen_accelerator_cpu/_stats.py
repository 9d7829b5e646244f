"""How the processors of this machine are doing."""

from __future__ import annotations

import os
import sys
import time
from importlib.util import find_spec

HAS_PSUTIL = find_spec("psutil") is not None
HAS_RESOURCE = find_spec("resource") is not None  # absent on Windows


def available_processors() -> int:
    """Return how many processors this process may run on, which may be fewer than the machine has."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_stats() -> dict[str, float]:
    """Return figures of the machine (psutil must be installed) and of this process."""
    return {**_machine_stats(), **_process_stats()}


def _machine_stats() -> dict[str, float]:
    if not HAS_PSUTIL:
        return {}
    import psutil

    return {
        "cpu_percent": psutil.cpu_percent(),
        "cpu_vm_percent": psutil.virtual_memory().percent,
        "cpu_swap_percent": psutil.swap_memory().percent,
    }


def _process_stats() -> dict[str, float]:
    stats = {"process_cpu_seconds": time.process_time()}
    if HAS_RESOURCE:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Linux counts kibibytes here, macOS bytes.
        stats["process_peak_memory_bytes"] = float(peak if sys.platform == "darwin" else peak * 1024)
    return stats
