"""Accelerators: families of devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fulmen._lazy import Offer, lazily

if TYPE_CHECKING:
    from fulmen_accelerator_cpu import CPUAccelerator as CPUAccelerator
    from fulmen_accelerator_cuda import CUDAAccelerator as CUDAAccelerator
    from fulmen_accelerator_cuda import find_usable_cuda_devices as find_usable_cuda_devices
    from fulmen_accelerator_mps import MPSAccelerator as MPSAccelerator
    from fulmen_interfaces import Accelerator as Accelerator

_NAMES = {
    "Accelerator": "fulmen_interfaces",
    "CPUAccelerator": "fulmen_accelerator_cpu",
    "CUDAAccelerator": "fulmen_accelerator_cuda",
    "MPSAccelerator": "fulmen_accelerator_mps",
    "find_usable_cuda_devices": "fulmen_accelerator_cuda",
}

__getattr__, __dir__ = lazily(Offer(__name__, _NAMES))
