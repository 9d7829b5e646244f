"""The processors of this machine: always there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch

from fulmen_accelerator_cpu._stats import available_processors, processor_stats
from fulmen_interfaces import ALL_DTYPES, AcceleratorSpec, ConfigurationError, DType, Probe, Problem


@final
class CPUAccelerator:
    """The processors of this machine. All processes share them, so devices have no index.

    Arguments:
        threads: on how many threads each process computes during its runs, as `torch.set_num_threads` has it. None: as
            is; the launchers of several processes part the processors among them.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
            reason = "A process computes on one thread at least."
            raise ConfigurationError([Problem("threads", threads, reason, "Write a number from 1 on, or None.")])
        self._threads = threads
        self._threads_before: int | None = None

    @property
    def spec(self) -> AcceleratorSpec:
        """What the family offers."""
        return CPU_SPEC

    def device(self, index: int) -> torch.device:
        """Return `cpu`, whatever the index: it counts processes."""
        return torch.device("cpu")

    def setup(self, device: torch.device) -> None:
        """Set the number of threads, if one was given. Nothing has to be made current."""
        if self._threads is not None:
            if self._threads_before is None:
                self._threads_before = torch.get_num_threads()
            torch.set_num_threads(self._threads)

    def teardown(self) -> None:
        """Put the number of threads back. Nothing is cached."""
        if self._threads_before is not None:
            torch.set_num_threads(self._threads_before)
            self._threads_before = None

    def stats(self, device: torch.device) -> Mapping[str, float]:
        """Return the load of the machine in percent (with psutil), and what this process used."""
        return processor_stats()


def probe_cpu() -> Probe:
    """Count the processors that this process may use: more processes than these make no sense."""
    return Probe(available_processors())


CPU_SPEC = AcceleratorSpec(
    name="cpu",
    create=CPUAccelerator,
    summary="The processors of this machine.",
    device_type="cpu",
    probe=probe_cpu,
    priority=0,
    dtypes=ALL_DTYPES,
    autocast=frozenset({DType.BFLOAT16, DType.FLOAT16}),
    loss_scaling=True,
    process_group="gloo",
    indexed=False,
    auto_devices=1,
)
