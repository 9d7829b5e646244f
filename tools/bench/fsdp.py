"""Measure what a sharded step costs beside a hand-written `fully_shard` loop: `python tools/bench/fsdp.py`.

Two CPU processes, each with one thread. Contenders take turns in the same processes; what rank zero saw is reported.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
from contenders import BARE, LEARNING_RATE, silence
from report import Row, as_json, markdown
from rounds import compare, take_turns
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.functional import cross_entropy
from workload import CLASSES, FEATURES, Batch, Clock, ThreadClock, loader

import fulmen

PROCESSES = 2
WARM_UP = 20
LIMIT = 1.05
WIDTH = 256
DEPTH = 4


def main(arguments: Sequence[str]) -> int:
    """Measure both, and report on rank zero."""
    options = parse(arguments)
    torch.set_num_threads(1)
    names: dict[str, Callable[[int], Clock]] = {"raw": raw, "fulmen": ours}
    ours(2)  # starts the other process and joins it; both are contenders from here on
    values = take_turns(
        list(names.values()),
        options.rounds,
        lambda contender: median(contender(WARM_UP + options.steps).durations(skip=WARM_UP)),
    )
    if dist.get_rank() != 0:
        return 0
    rows = [
        Row(
            "fsdp",
            f"train step, fully_shard over {PROCESSES} processes",
            *(one.contender, one.value, "us", one.ratio, (one.low, one.high)),
            limit=f"≤ {LIMIT:.2f} ×" if one.contender == "fulmen" else "",
        )
        for one in compare(list(names), values)
    ]
    settings: dict[str, object] = {"rounds": options.rounds, "steps": options.steps, "processes": PROCESSES}
    print(table := markdown(rows, settings))
    if options.markdown:
        options.markdown.write_text(table)
    if options.json:
        options.json.write_text(as_json(rows, settings))
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="fsdp.py", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="turns that each contender gets (9)")
    parser.add_argument("--steps", type=int, default=150, help=f"steps of a turn, after {WARM_UP} more (150)")
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    return parser.parse_args(arguments)


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


def raw(steps: int) -> ThreadClock:
    """Train as one would by hand."""
    clock, net = ThreadClock(steps), network()
    mesh = init_device_mesh("cpu", (PROCESSES,))
    for one in net:
        if isinstance(one, Block):
            fully_shard(one, mesh=mesh)
    fully_shard(net, mesh=mesh)
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE)
    for features, labels in loader(steps):
        clock.tick()
        optimizer.zero_grad()
        loss = cross_entropy(net(features), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return clock


class Module(fulmen.LightningModule):
    """The same model."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.net = network()
        self.tick = clock.tick

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Tick and compute the loss."""
        self.tick()
        features, labels = batch
        return cross_entropy(self.net(features), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer of the raw loop."""
        return torch.optim.SGD(self.parameters(), lr=LEARNING_RATE)


def ours(steps: int) -> ThreadClock:
    """Train with the Trainer."""
    clock = ThreadClock(steps)
    strategy: Any = fulmen.strategies.FSDPStrategy(auto_wrap_policy={Block})
    processes: dict[str, Any] = {"accelerator": "cpu", "devices": PROCESSES, "strategy": strategy}
    with silence():
        trainer = fulmen.Trainer(max_epochs=1, use_distributed_sampler=False, **processes, **BARE)  # type: ignore[arg-type]
        trainer.fit(Module(clock), loader(steps))
    return clock


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
