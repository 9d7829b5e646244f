"""Whether an error says that memory did not suffice, and how to go on afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import torch

from fulmen_interfaces import Accelerator, SupportsMemoryRecovery

_TEXTS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "cublas_status_alloc_failed",
    "cudnn_status_not_supported",  # cuDNN says so where the memory for its workspace does not suffice
    "resource_exhausted",
)


def is_out_of_memory(error: BaseException, accelerator: Accelerator) -> bool:
    """Return whether the error, or one that it was raised from, says that memory did not suffice."""
    return any(_says_so(one, accelerator) for one in _chain(error))


def free_memory(accelerator: Accelerator) -> None:
    """Give back what a run left behind."""
    gc.collect()
    if isinstance(accelerator, SupportsMemoryRecovery):
        accelerator.free_memory()


def _says_so(error: BaseException, accelerator: Accelerator) -> bool:
    if isinstance(accelerator, SupportsMemoryRecovery) and accelerator.is_out_of_memory(error):
        return True
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _TEXTS)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__
