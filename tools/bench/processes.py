"""What the cases of several processes share: how many there are, where they run, and what is measured."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch.distributed as dist
from cases import Case, Effort, medians, run_in_turns
from contenders import BARE, Library, UserModule, silence
from report import Row
from rounds import compare
from torch import nn
from workload import Clock, ThreadClock, loader

PROCESSES = 2


@dataclass(frozen=True)
class ProcessesCase(Case):
    """A case whose steps wait for messages: beside a step stands what its own thread ran of it."""

    def measure(self, found: Sequence[Library], effort: Effort) -> list[Row]:
        """The median step of every contender, and what its thread ran."""
        contenders = self.contenders(found)
        clocks = run_in_turns(contenders.values(), effort, begin_together)
        waited = compare(list(contenders), medians(clocks, ThreadClock.durations))
        ran = compare(list(contenders), medians(clocks, ThreadClock.own_durations))
        return self.rows(waited, [f"thread ran {one.value:,.4g} us, {one.ratio:.2f} ×" for one in ran])


def begin_together(steps: int) -> ThreadClock:
    """Wait for the other processes, so that they begin their turn at once; the clock of this one's."""
    dist.barrier()
    return ThreadClock(steps)


def stay_on_one_core(rank: int) -> None:
    """Keep this process, and the threads it will make, where they are: the system moving them is what varies most."""
    if sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[rank % len(cores)]})


def with_trainer(library: Library, make: Callable[[], nn.Module], strategy: object, steps: int, clock: Clock) -> None:
    """Train a new network in a new Trainer with that strategy on all processes."""
    module = library.module(UserModule, clock, make())
    with silence():
        trainer = library.trainer(devices=PROCESSES, strategy=strategy, use_distributed_sampler=False, **BARE)
        trainer.fit(module, loader(steps))
