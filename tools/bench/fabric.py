"""Measure what a step of a loop with Fabric costs beside the same loop by hand: `python tools/bench/fabric.py`.

One process, one thread. With Lightning in the interpreter, its Fabric is measured beside.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median

import torch
from contenders import LEARNING_RATE
from report import Row, as_json, markdown
from rounds import compare, take_turns
from torch.nn.functional import cross_entropy
from workload import Clock, loader, network

WARM_UP = 20
PLACES = {"fulmen": "fulmen_core", "lightning": "lightning.fabric"}
LIMIT = 1.05


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(prog="fabric.py", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="turns that each contender gets (15)")
    parser.add_argument("--steps", type=int, default=300, help=f"steps of a turn, after {WARM_UP} more (300)")
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    contenders: dict[str, Callable[[int], Clock]] = {"raw": by_hand}
    for name, place in PLACES.items():
        with suppress(ImportError):
            importlib.import_module(place)
            contenders[name] = partial(with_fabric, place)

    def median_step(loop: Callable[[int], Clock]) -> float:
        return median(loop(options.steps + WARM_UP).durations(skip=WARM_UP))

    rows = [
        Row(
            *("fabric", "train step of your own loop", one.contender, one.value, "us", one.ratio, (one.low, one.high)),
            limit=f"≤ {LIMIT:.2f} ×" if one.contender == "fulmen" else "",
        )
        for one in compare(list(contenders), take_turns(list(contenders.values()), options.rounds, median_step))
    ]
    settings: dict[str, object] = {"rounds": options.rounds, "steps": options.steps}
    print(table := markdown(rows, settings))
    if options.markdown:
        options.markdown.write_text(table)
    if options.json:
        options.json.write_text(as_json(rows, settings))
    return 0


def by_hand(steps: int) -> Clock:
    """The loop with torch alone."""
    clock, net = Clock(steps), network()
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE)
    for features, labels in loader(steps):
        clock.tick()
        optimizer.zero_grad()
        cross_entropy(net(features), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return clock


def with_fabric(place: str, steps: int) -> Clock:
    """The same loop through a library's Fabric."""
    clock, net = Clock(steps), network()
    fabric = importlib.import_module(place).Fabric(accelerator="cpu", devices=1)
    model, optimizer = fabric.setup(net, torch.optim.SGD(net.parameters(), lr=LEARNING_RATE))
    for features, labels in fabric.setup_dataloaders(loader(steps)):
        clock.tick()
        optimizer.zero_grad()
        fabric.backward(cross_entropy(model(features), labels))
        optimizer.step()
    return clock


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
