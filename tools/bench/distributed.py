"""Measure what a step costs over two processes beside loops by hand: `python tools/bench/distributed.py`.

Two CPU processes, each with one thread, started by torchrun. Contenders take turns in them; what rank zero saw is
reported. See the README beside this file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import ddp
import fsdp
import torch
import torch.distributed as dist
from cases import Effort, Measurement
from command import parse, publish
from contenders import Library, libraries
from processes import PROCESSES, stay_on_one_core, with_trainer
from workload import Clock

CASES: dict[str, Measurement] = {case.name: case.measure for case in (ddp.CASE, fsdp.CASE)}


def main(arguments: Sequence[str]) -> int:
    """Measure the cases that were asked for, and report on rank zero."""
    options = parse(arguments, __doc__, CASES, usual=Effort(rounds=9, steps=150))
    if "LOCAL_RANK" not in os.environ:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={PROCESSES}"]
        return subprocess.call([sys.executable, *launcher, __file__, *arguments])
    stay_on_one_core(int(os.environ["LOCAL_RANK"]))
    torch.set_num_threads(1)
    found, missing = libraries()
    with_trainer(Library("fulmen"), ddp.network, "ddp", 2, Clock(2))  # joins: all contenders use one process group
    if first := dist.get_rank() == 0:
        print(*missing, sep="\n", file=sys.stderr)
    rows = [row for name in options.cases for row in CASES[name](found, options.effort)]
    if first:
        publish(rows, options, processes=PROCESSES)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
