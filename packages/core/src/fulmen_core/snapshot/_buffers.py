"""Buffers of which each process has values of its own: statistics of batch norm, until a training step evens them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from fulmen_interfaces import Collectives


def own_buffers(module: nn.Module, collectives: Collectives) -> dict[str, Tensor]:
    """Return this process' buffers that differ from rank zero's, which are in the weights. On all ranks."""
    mine = {name: _checksum(one) for name, one in _plain_buffers(module)}
    first = collectives.broadcast(mine)
    return {name: one.detach().cpu().clone() for name, one in _plain_buffers(module) if mine[name] != first.get(name)}


def put_buffers(module: nn.Module, buffers: Mapping[str, Tensor]) -> None:
    """Give them back, where they are still there."""
    with torch.no_grad():
        for name, one in _plain_buffers(module):
            if name in buffers and buffers[name].shape == one.shape:
                one.copy_(buffers[name])


def _plain_buffers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return ((name, one) for name, one in module.named_buffers() if type(one) is Tensor)


def _checksum(tensor: Tensor) -> int:
    return zlib.crc32(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
