"""The memory of the device: who holds how much, and what was given back too early."""

from __future__ import annotations

import os
from dataclasses import dataclass

LIMIT_VARIABLE = "SIM_MEMORY_BYTES"
"""Environment variable: how much memory the device has."""


class SimOutOfMemoryError(RuntimeError):
    """The device's memory does not suffice."""


@dataclass
class SimMemory:
    """What a device with one allocator would count."""

    allocated: int = 0
    peak: int = 0
    reused_too_early: int = 0
    """Blocks of the copy stream that were freed although computing had used them and nobody had said so: real hardware
    would give such a block to the next copy while the computation may still be reading it."""

    @property
    def limit(self) -> int:
        """Bytes of the device."""
        return int(os.environ.get(LIMIT_VARIABLE, str(2**30)))

    def take(self, nbytes: int) -> None:
        """Count a new block. Raises SimOutOfMemoryError where it does not fit."""
        if self.allocated + nbytes > self.limit:
            raise SimOutOfMemoryError(
                f"sim out of memory: {nbytes} bytes were asked for, and {self.allocated} of {self.limit} are in use. "
                f"Use smaller batches, or set {LIMIT_VARIABLE}."
            )
        self.allocated += nbytes
        self.peak = max(self.peak, self.allocated)


class Block:
    """One piece of device memory. It is freed with the storage that it is attached to."""

    def __init__(self, memory: SimMemory, nbytes: int, *, of_copy_stream: bool) -> None:
        memory.take(nbytes)
        self._memory = memory
        self._nbytes = nbytes
        self.of_copy_stream = of_copy_stream
        self.used_by_computing = False
        self.kept_alive = False

    def __del__(self) -> None:
        if hasattr(self, "_nbytes"):
            self._memory.allocated -= self._nbytes
            if self.of_copy_stream and self.used_by_computing and not self.kept_alive:
                self._memory.reused_too_early += 1
