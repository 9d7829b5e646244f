"""The device type `sim` for torch, simulated on the host. It knows nothing of fulmen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from acme_torch._memory import SimMemory, SimOutOfMemoryError

if TYPE_CHECKING:
    from acme_torch._device import Device

__all__ = ["SWITCH", "SimMemory", "SimOutOfMemoryError", "autoload", "has_card", "simulator"]

SWITCH = "SIM_DEVICE"
"""Environment variable that stands for the card and its driver: 1 where there is one."""


def has_card() -> bool:
    """Whether there is a device; it is not touched."""
    return os.environ.get(SWITCH) == "1"


def autoload() -> None:
    """Make the device type known to torch, if there is a device. Called by torch when it is imported.

    Later would do for most, but not for autograd: its first backward pass counts the types that there are.
    """
    if has_card():
        simulator()


def simulator() -> Device:
    """Return the device of this process; the first call makes the type known to torch."""
    from acme_torch._torch import simulator as the_one  # imports torch

    return the_one()
