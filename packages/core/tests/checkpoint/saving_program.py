"""Writes one checkpoint directory over and over until it is killed: `saving_program.py PATH`."""

from __future__ import annotations

import sys
import time

import torch
from sharded_cases import Module, fit


def main(path: str) -> None:
    module = Module(width=2000)
    trainer = fit(module, steps=1, kind="sharded")
    for number in range(10**6):
        with torch.no_grad():
            module.body.weight.fill_(time.time() % 1000)
        trainer.save_checkpoint(path)
        if number == 0:
            sys.stdout.write("saved\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
