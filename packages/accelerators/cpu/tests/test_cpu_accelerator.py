from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import pytest
import torch

from fulmen_accelerator_cpu import CPU_SPEC, CPUAccelerator
from fulmen_interfaces import ConfigurationError
from fulmen_testing import AcceleratorConformance


class TestConformance(AcceleratorConformance):
    spec = CPU_SPEC


@pytest.mark.skipif(sys.platform != "linux", reason="needs sched_setaffinity")
def test_probe_counts_the_processors_that_the_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    assert CPU_SPEC.probe().count == len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert CPU_SPEC.probe().count == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_stats_count_what_the_process_uses() -> None:
    accelerator = CPUAccelerator()
    first = accelerator.stats(torch.device("cpu"))
    held = torch.ones(50_000_000, dtype=torch.uint8)
    until = time.process_time() + 0.05
    while time.process_time() < until:
        held.add_(1)
    second = accelerator.stats(torch.device("cpu"))
    assert second["process_cpu_seconds"] - first["process_cpu_seconds"] >= 0.05
    assert second["process_peak_memory_bytes"] >= 50_000_000


def test_stats_of_the_machine_come_from_psutil() -> None:
    psutil = pytest.importorskip("psutil")
    stats = CPUAccelerator().stats(torch.device("cpu"))
    assert stats["cpu_vm_percent"] == pytest.approx(psutil.virtual_memory().percent, abs=10)
    assert 0 <= stats["cpu_percent"] <= 100
    assert 0 <= stats["cpu_swap_percent"] <= 100


def test_threads_are_set_for_the_run_and_put_back() -> None:
    before = torch.get_num_threads()
    accelerator = CPUAccelerator(threads=before + 1)
    accelerator.setup(torch.device("cpu"))
    accelerator.setup(torch.device("cpu"))
    assert torch.get_num_threads() == before + 1
    accelerator.teardown()
    assert torch.get_num_threads() == before
    torch.set_num_threads(before + 2)
    accelerator.teardown()
    assert torch.get_num_threads() == before + 2, "what others set meanwhile is theirs"
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "4"])
def test_a_number_of_threads_that_is_none_is_refused(threads: Any) -> None:
    with pytest.raises(ConfigurationError, match="threads"):
        CPUAccelerator(threads=threads)


def test_importing_the_spec_does_not_import_psutil() -> None:
    code = "import sys, fulmen_accelerator_cpu; sys.exit('psutil' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
