"""Measure what a step costs beside a loop by hand: `python tools/bench/step.py`. See the README beside this file."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import costs
import fabric
import saving
import torch
import trainer
from cases import Effort, Measurement
from command import parse, publish
from contenders import libraries
from report import Row

CASES: dict[str, Measurement] = {
    **{case.name: case.measure for case in (*trainer.CASES, fabric.CASE)},
    "import": costs.measure_imports,
    "frames": costs.measure_frames,
    "save": saving.measure,
}


def main(arguments: Sequence[str]) -> int:
    """Measure the cases that were asked for, and report them."""
    options = parse(arguments, __doc__, CASES, usual=Effort(rounds=15, steps=300))
    torch.set_num_threads(1)
    found, missing = libraries()
    print(*missing, sep="\n", file=sys.stderr)
    rows: list[Row] = []
    for name in options.cases:
        print(f"measuring {name} ...", file=sys.stderr)
        rows += CASES[name](found, options.effort)
    publish(rows, options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
