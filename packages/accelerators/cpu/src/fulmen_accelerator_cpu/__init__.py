"""The CPU accelerator of fulmen."""

from __future__ import annotations

from fulmen_accelerator_cpu._accelerator import CPU_SPEC, CPUAccelerator

__all__ = ["CPU_SPEC", "CPUAccelerator"]
