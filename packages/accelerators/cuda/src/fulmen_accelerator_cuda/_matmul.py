"""TensorFloat-32: matrix products that are much faster and a little less exact."""

from __future__ import annotations

from typing import Literal

import torch

from fulmen_interfaces import rank_zero_info

MatmulPrecision = Literal["highest", "high", "medium"]
MATMUL_PRECISIONS: tuple[MatmulPrecision, ...] = ("highest", "high", "medium")

FIRST_WITH_TF32 = (8, 0)
"""Compute capability of the first GPUs that have it."""


def has_tf32(device: torch.device) -> bool:
    """Whether the GPU multiplies in TensorFloat-32. Starts CUDA."""
    return torch.version.hip is None and torch.cuda.get_device_capability(device) >= FIRST_WITH_TF32


def hint_matmul_precision(device: torch.device) -> None:
    """Say once that float32 products could be faster, where the user has not chosen yet."""
    if torch.get_float32_matmul_precision() == "highest" and has_tf32(device):
        rank_zero_info(
            f"{torch.cuda.get_device_name(device)} has tensor cores, which float32 matrix products do not use now. "
            "torch.set_float32_matmul_precision('high') (or 'medium') makes these products faster and less exact."
        )
