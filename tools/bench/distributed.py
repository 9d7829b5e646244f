"""Measure what a step costs over two processes beside loops written by hand: `python tools/bench/distributed.py`.

Two CPU processes, each with one thread, started by torchrun. Contenders take turns in them; what rank zero saw is
reported. Lightning is measured beside, where the interpreter has it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import fsdp
import torch
import torch.distributed as dist
from contenders import BARE, LEARNING_RATE, Library, libraries, silence
from report import Row, as_json, markdown
from rounds import compare, take_turns
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from workload import CLASSES, FEATURES, Batch, Clock, ThreadClock, loader

PROCESSES = 2
WARM_UP = 20
WIDTH = 512
Contender = Callable[[int], ThreadClock]


@dataclass(frozen=True)
class Case:
    """One row of the table: a loop by hand, ours, and how much more ours may cost."""

    what: str
    raw: Contender
    ours: Contender
    limit: float
    others: Mapping[str, Contender] = field(default_factory=dict)


def main(arguments: Sequence[str]) -> int:
    """Measure the cases that were asked for, and report on rank zero."""
    options = parse(arguments)
    if "LOCAL_RANK" not in os.environ:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={PROCESSES}"]
        return subprocess.call([sys.executable, *launcher, __file__, *arguments])
    stay_on_one_core(int(os.environ["LOCAL_RANK"]))
    torch.set_num_threads(1)
    ours(2)  # joins the other process, so that every contender uses the same group
    cases = {name: make() for name, make in CASES.items() if name in options.cases}
    rows = [row for name, case in cases.items() for row in measure(name, case, options.rounds, options.steps)]
    if dist.get_rank() != 0:
        return 0
    settings: dict[str, object] = {"rounds": options.rounds, "steps": options.steps, "processes": PROCESSES}
    print(table := markdown(rows, settings))
    if options.markdown:
        options.markdown.write_text(table)
    if options.json:
        options.json.write_text(as_json(rows, settings))
    return 0


def stay_on_one_core(rank: int) -> None:
    """Keep this process, and the threads it will make, where they are: the system moving them is what varies most."""
    if sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[rank % len(cores)]})


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="distributed.py", description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=9, help="turns that each contender gets (9)")
    parser.add_argument("--steps", type=int, default=150, help=f"steps of a turn, after {WARM_UP} more (150)")
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    return parser.parse_args(arguments)


def measure(name: str, case: Case, rounds: int, steps: int) -> list[Row]:
    """The median step of every contender, and beside it what its own thread ran of that."""
    contenders = {"raw": case.raw, "fulmen": case.ours, **case.others}
    own: dict[Contender, list[float]] = {contender: [] for contender in contenders.values()}

    def median_step(contender: Contender) -> float:
        dist.barrier()
        clock = contender(WARM_UP + steps)
        own[contender].append(median(clock.own_durations(skip=WARM_UP)))
        return median(clock.durations(skip=WARM_UP))

    waited = compare(list(contenders), take_turns(list(contenders.values()), rounds, median_step))
    ran = compare(list(contenders), list(own.values()))
    return [
        Row(
            name,
            case.what,
            *(one.contender, one.value, "us", one.ratio, (one.low, one.high)),
            limit=f"≤ {case.limit:.2f} ×" if one.contender == "fulmen" else "",
            beside=f"thread ran {thread.value:,.4g} us, {thread.ratio:.2f} ×",
        )
        for one, thread in zip(waited, ran, strict=True)
    ]


def network() -> nn.Sequential:
    """The model: 1.2 MB of gradients in each step."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(FEATURES, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES)
    )


def raw(steps: int) -> ThreadClock:
    """Train as one would by hand."""
    clock = ThreadClock(steps)
    net = DistributedDataParallel(network())
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE)
    for features, labels in loader(steps):
        clock.tick()
        optimizer.zero_grad()
        loss = cross_entropy(net(features), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return clock


class UserModule(nn.Module):
    """What a user writes; a library's LightningModule becomes its second base."""

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


def trained_by(library: Library) -> Contender:
    """A library's Trainer with its strategy of that name."""

    def run(steps: int) -> ThreadClock:
        clock = ThreadClock(steps)
        module: Any = library.module(UserModule, clock)
        processes = {"accelerator": "cpu", "devices": PROCESSES, "strategy": "ddp", "use_distributed_sampler": False}
        with silence():
            trainer = library.package.Trainer(max_epochs=1, **processes, **BARE)
            trainer.fit(module, loader(steps))
        return clock

    return run


def ours(steps: int) -> ThreadClock:
    """Train with fulmen's Trainer."""
    return trained_by(Library("fulmen"))(steps)


def ddp() -> Case:
    """Copies of the model whose gradients are averaged."""
    found, missing = libraries()
    if dist.get_rank() == 0:
        print(*missing, sep="\n", file=sys.stderr)
    others = {library.name: trained_by(library) for library in found if library.name != "fulmen"}
    return Case(f"train step, ddp over {PROCESSES} processes", raw, ours, 1.03, others)


def sharded() -> Case:
    """A model in pieces, which are gathered where they are needed."""
    return Case(f"train step, fully_shard over {PROCESSES} processes", fsdp.raw, fsdp.ours, fsdp.LIMIT)


CASES: dict[str, Callable[[], Case]] = {"ddp": ddp, "fsdp": sharded}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
