"""An accelerator for tests: the host's processor under another name."""

from __future__ import annotations

from typing import final

import torch

from fulmen_interfaces import AcceleratorSpec, DType, Probe


@final
class FakeAccelerator:
    """Computes on the host and records what it was told.

    `calls` holds `setup` and `teardown` in the order of their calls.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []

    @property
    def spec(self) -> AcceleratorSpec:
        """What it offers."""
        return FAKE_ACCELERATOR_SPEC

    def device(self, index: int) -> torch.device:
        """Return the host's device, whatever the index."""
        return torch.device("cpu")

    def setup(self, device: torch.device) -> None:
        """Record the call."""
        self.calls.append("setup")

    def teardown(self) -> None:
        """Record the call."""
        self.calls.append("teardown")


def probe_fake() -> Probe:
    """Find two devices."""
    return Probe(2)


FAKE_ACCELERATOR_SPEC = AcceleratorSpec(
    name="fake",
    create=FakeAccelerator,
    summary="The host under another name, for tests.",
    device_type="cpu",
    probe=probe_fake,
    priority=1,
    autocast=frozenset({DType.BFLOAT16, DType.FLOAT16}),
    loss_scaling=True,
    process_group="gloo",
    indexed=False,
    auto_devices=1,
)
"""Its `device_type` is `cpu`: tensors need no move, and whatever runs on a CPU runs on it."""
