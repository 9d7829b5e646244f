"""The case of DDP: copies of a model whose gradients are averaged, 1.2 MB in each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from contenders import Contender, Library
from processes import PROCESSES, ProcessesCase, with_trainer
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from workload import CLASSES, FEATURES, train_by_hand

WIDTH = 512


def network() -> nn.Sequential:
    """The model."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(FEATURES, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES)
    )


def wrapped() -> nn.Module:
    """The model as one wraps it by hand."""
    return DistributedDataParallel(network())


def contenders(found: Sequence[Library]) -> Mapping[str, Contender]:
    """The loop by hand, and every library's Trainer."""
    trainers = {library.name: partial(with_trainer, library, network, "ddp") for library in found}
    return {"raw": partial(train_by_hand, wrapped), **trainers}


CASE = ProcessesCase("ddp", f"train step, ddp over {PROCESSES} processes", 1.03, contenders)
