"""Lack of memory: how to tell it, and how to go on after it."""

from __future__ import annotations

import gc

import torch

_SIGNS = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "HIP out of memory",
    "HIP error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",  # cuBLAS reserves memory when it is first used
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_SUPPORTED",  # cuDNN says so when no algorithm fits into what is left
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error, or what it was raised from, says that the GPU's memory did not suffice."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, torch.cuda.OutOfMemoryError):
            return True
        if isinstance(cause, RuntimeError) and any(sign in str(cause) for sign in _SIGNS):
            return True
        cause = cause.__cause__
    return False


def free_memory() -> None:
    """Collect what nobody refers to any more, and give cached memory back to the driver."""
    gc.collect()
    torch.cuda.empty_cache()
