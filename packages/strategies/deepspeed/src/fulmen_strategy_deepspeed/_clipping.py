"""Bounding gradients that lie in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fulmen_interfaces import ClipAlgorithm, GradientClipping


def bound(zero: Any, clipping: GradientClipping, *, stage: int) -> Tensor | None:
    """Bound the gradients of the coming step; return their norm over all ranks where the bound is one on the norm.

    A norm is computed here and the gradients are scaled by ZeRO itself, in its step. Values are clamped at once.
    """
    if clipping.algorithm is ClipAlgorithm.VALUE:
        limit = clipping.limit * float(zero.loss_scale)
        for gradient in _parts(zero, stage):
            gradient.clamp_(-limit, limit)
        return None
    zero.clip_grad = clipping.limit
    return _norm(zero, stage)


def _norm(zero: Any, stage: int) -> Tensor:
    if stage != 3:
        norm = zero.scaled_global_norm()
    else:
        from deepspeed.runtime.utils import combine_grad_norm_groups

        norm = combine_grad_norm_groups(zero._get_norm_groups())
    return torch.as_tensor(norm / zero.loss_scale)


def _parts(zero: Any, stage: int) -> Iterator[Tensor]:
    """Yield this rank's parts of the gradients, each a tensor that the step will read."""
    if stage == 3:
        offloaded, flats, count = zero.offload_optimizer, zero.fp32_partitioned_groups_flat, len(zero.fp16_groups)
    else:
        offloaded, flats, count = zero.cpu_offload, zero.single_partition_of_fp32_groups, len(zero.bit16_groups)
    for number in range(count):
        if offloaded:
            yield flats[number].grad
        else:
            yield from zero.averaged_gradients[number]
