"""The MPS accelerator of fulmen."""

from __future__ import annotations

from fulmen_accelerator_mps._accelerator import MPS_SPEC, MPSAccelerator

__all__ = ["MPS_SPEC", "MPSAccelerator"]
