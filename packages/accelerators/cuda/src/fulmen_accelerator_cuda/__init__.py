"""The CUDA accelerator of fulmen."""

from __future__ import annotations

from fulmen_accelerator_cuda._accelerator import CUDA_SPEC, CUDAAccelerator
from fulmen_accelerator_cuda._probe import num_cuda_devices
from fulmen_accelerator_cuda._usable import find_usable_cuda_devices

__all__ = ["CUDA_SPEC", "CUDAAccelerator", "find_usable_cuda_devices", "num_cuda_devices"]
