"""The processors of this machine: always there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch

from fulmen_accelerator_cpu._stats import available_processors, processor_stats
from fulmen_interfaces import ALL_DTYPES, AcceleratorSpec, DType, Probe


@final
class CPUAccelerator:
    """The processors of this machine. All processes share them, so devices have no index."""

    @property
    def spec(self) -> AcceleratorSpec:
        """What the family offers."""
        return CPU_SPEC

    def device(self, index: int) -> torch.device:
        """Return `cpu`, whatever the index: it counts processes."""
        return torch.device("cpu")

    def setup(self, device: torch.device) -> None:
        """Nothing has to be made current."""

    def teardown(self) -> None:
        """Nothing is cached."""

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
