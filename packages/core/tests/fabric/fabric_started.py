"""A program whose processes are started in other ways: `fabric_started.py FOLDER STRATEGY...`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # the first optimizer imports it: once here, not in each forked process
from torch.nn.functional import mse_loss

from fulmen_core import Fabric

sys.path.insert(0, str(Path(__file__).parent))

from fabric_cases import Net, loader, sgd


def learn(fabric: Fabric, folder: str, *, fail: bool = False) -> dict[str, Any]:
    """Train, and return what rank zero learned."""
    drawn = torch.rand(1).item()
    module = Net()
    model, optimizer = fabric.setup(module, sgd(module))
    for x, y in fabric.setup_dataloaders(loader()):
        if fail and fabric.global_rank == 1:
            raise KeyError("rank one has had enough")
        optimizer.zero_grad()
        fabric.backward(mse_loss(model(x), y))
        optimizer.step()
    fabric.log("rank", fabric.global_rank)
    return {
        "weights": {name: value.flatten().tolist() for name, value in module.state_dict().items()},
        "drawn": fabric.all_gather(drawn).tolist(),
        "pid": os.getpid(),
    }


class Work(Fabric):
    """The same as a class."""

    def run(self, folder: str) -> dict[str, Any]:
        return learn(self, folder)


def main(folder: str, *strategies: str) -> None:
    found: dict[str, Any] = {"pid": os.getpid()}
    for strategy in strategies:
        options: dict[str, Any] = {"accelerator": "cpu", "devices": 2, "strategy": strategy}
        torch.manual_seed(5)
        if strategy == "ddp_fork":
            found[strategy] = Work(**options).run(folder)
        else:
            found[strategy] = Fabric(**options).launch(learn, folder)
        if strategy == "ddp_fork":
            try:
                Fabric(**options).launch(learn, folder, fail=True)
            except KeyError as error:
                found["error"] = [str(error), str(error.__cause__)]
    Path(folder, f"rank{os.environ.get('RANK', '-none')}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
