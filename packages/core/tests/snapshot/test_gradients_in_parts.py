"""Gradients of parameters that are DTensors, put together from the parts that several processes saved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from fulmen_core.snapshot._gradients import are_reduced, parts_of, put_back


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield DeviceMesh("cpu", [0])
    dist.destroy_process_group()


def parted(mesh: DeviceMesh) -> nn.Linear:
    module = nn.Linear(2, 3)
    for name, one in list(module.named_parameters()):
        setattr(module, name, nn.Parameter(distribute_tensor(one.detach(), mesh, [Shard(0)])))
    return module


PREPARED: Any = object()
"""Keeps no gradients itself."""
WHOLE = {"weight": torch.arange(6.0).reshape(3, 2), "bias": torch.arange(3.0)}


def test_rows_of_several_processes_become_one(mesh: DeviceMesh) -> None:
    module = parted(mesh)
    ranks = [{name: one[rows] for name, one in WHOLE.items()} for rows in (slice(2), slice(2, 3), slice(0, 0))]
    assert are_reduced(PREPARED, module)
    assert put_back(PREPARED, module, ranks, reduced=True, rank=None)
    for name, one in module.named_parameters():
        assert isinstance(one.grad, DTensor)
        assert torch.equal(one.grad.full_tensor(), WHOLE[name])
    assert all(torch.equal(part, WHOLE[name]) for name, part in parts_of(PREPARED, module).items())


def test_whole_gradients_of_several_processes_become_their_mean(mesh: DeviceMesh) -> None:
    module = parted(mesh)
    ranks = [{name: factor * one for name, one in WHOLE.items()} for factor in (1.0, 3.0)]
    assert put_back(PREPARED, module, ranks, reduced=False, rank=1)
    for name, one in module.named_parameters():
        assert isinstance(one.grad, DTensor)
        assert torch.equal(one.grad.full_tensor(), 2 * WHOLE[name])


def test_parts_fit_a_plain_module(mesh: DeviceMesh) -> None:
    module = nn.Linear(2, 3)
    ranks = [{name: one.flatten()[part] for name, one in WHOLE.items()} for part in (slice(1), slice(1, None))]
    assert not are_reduced(PREPARED, module)
    assert put_back(PREPARED, module, ranks, reduced=True, rank=0)
    assert all(torch.equal(one.grad, WHOLE[name]) for name, one in module.named_parameters())
