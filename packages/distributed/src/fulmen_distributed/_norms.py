"""The norm of gradients of which each rank has a part."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.utils import get_total_norm


def norm_over_ranks(
    parts: Sequence[Tensor], norm_type: float, groups: Iterable[dist.ProcessGroup | None], *, like: Tensor
) -> Tensor:
    """Return the norm of what all ranks have, on the device and in the type of `like`. On all ranks of the groups.

    A rank may have no parts, or empty ones.
    """
    wide = torch.promote_types(like.dtype, torch.float32)  # in 16 bits a square soon is too large
    own = get_total_norm([one for one in parts if one.numel()], norm_type).to(like.device, wide)
    is_largest = math.isinf(norm_type)
    total = own if is_largest else own.pow(norm_type)
    for group in groups:
        dist.all_reduce(total, dist.ReduceOp.MAX if is_largest else dist.ReduceOp.SUM, group=group)
    return (total if is_largest else total.pow(1 / norm_type)).to(like.dtype)
