"""The case of one's own loop: what a step with Fabric costs beside the same loop by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from cases import Case
from contenders import Contender, Library
from torch.nn.functional import cross_entropy
from workload import LEARNING_RATE, Clock, loader, network, train_by_hand


def contenders(found: Sequence[Library]) -> Mapping[str, Contender]:
    """The loop by hand, and with every library's Fabric."""
    fabrics = {library.name: partial(with_fabric, library) for library in found}
    return {"raw": partial(train_by_hand, network), **fabrics}


def with_fabric(library: Library, steps: int, clock: Clock) -> None:
    """`train_by_hand` through a library's Fabric."""
    net = network()
    fabric = library.package.Fabric(accelerator="cpu", devices=1)
    model, optimizer = fabric.setup(net, torch.optim.SGD(net.parameters(), lr=LEARNING_RATE))
    for features, labels in fabric.setup_dataloaders(loader(steps)):
        clock.tick()
        optimizer.zero_grad()
        fabric.backward(cross_entropy(model(features), labels))
        optimizer.step()


CASE = Case("fabric", "train step of your own loop, with Fabric", 1.05, contenders)
