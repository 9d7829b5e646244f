"""The case of FSDP: a model in pieces, which are gathered where they are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from contenders import Contender, Library
from processes import PROCESSES, ProcessesCase, with_trainer
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from workload import CLASSES, FEATURES, Clock, train_by_hand

WIDTH = 256
DEPTH = 4


class Block(nn.Module):
    """What is gathered at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)

    def forward(self, features: Tensor) -> Tensor:
        """Apply the layer."""
        result: Tensor = features + torch.relu(self.layer(features))
        return result


def network() -> nn.Sequential:
    """The model: blocks between two layers that belong to no block."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, WIDTH), *(Block() for _ in range(DEPTH)), nn.Linear(WIDTH, CLASSES))


def sharded() -> nn.Module:
    """The model as one shards it by hand."""
    net, mesh = network(), init_device_mesh("cpu", (PROCESSES,))
    for one in net:
        if isinstance(one, Block):
            fully_shard(one, mesh=mesh)
    fully_shard(net, mesh=mesh)
    return net


def contenders(found: Sequence[Library]) -> Mapping[str, Contender]:
    """The loop by hand, and fulmen's Trainer."""
    trainers = {library.name: partial(in_blocks, library) for library in found if library.name == "fulmen"}
    return {"raw": partial(train_by_hand, sharded), **trainers}


def in_blocks(library: Library, steps: int, clock: Clock) -> None:
    """Train with the library's strategy, told what a block is."""
    strategy = library.package.strategies.FSDPStrategy(auto_wrap_policy={Block})
    with_trainer(library, network, strategy, steps, clock)


CASE = ProcessesCase("fsdp", f"train step, fully_shard over {PROCESSES} processes", 1.05, contenders)
