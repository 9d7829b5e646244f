"""Weights that a strategy has parted among processes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeGuard

from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_in_pieces(tensor: Tensor) -> TypeGuard[DTensor]:
    """Return whether the strategy parted it among processes."""
    tensors = sys.modules.get("torch.distributed.tensor")  # costly to import, and imported where there are pieces
    return tensors is not None and isinstance(tensor, tensors.DTensor)


def whole(value: Tensor) -> Tensor:
    """Return it whole; on all ranks, where it lies in pieces."""
    return value.full_tensor() if is_in_pieces(value) else value


def piece_of(tensor: Tensor, *, like: Tensor | None = None) -> Tensor:
    """Return this rank's piece, which shares the memory; of a whole tensor, what it has of `like`."""
    if is_in_pieces(tensor):
        return tensor.to_local()
    if like is None or not is_in_pieces(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(like.to_local().device), like.device_mesh, like.placements).to_local()
