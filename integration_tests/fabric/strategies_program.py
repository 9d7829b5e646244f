"""A loop on two processes under one strategy: `strategies_program.py FOLDER STRATEGY`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

from fulmen_core import Fabric
from fulmen_interfaces import ConfigurationError

NORMS = (2.0, 1.0, 3.0, float("inf"))


class Net(nn.Module):
    """Two layers."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Linear(3, 8)
        self.head = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(torch.tanh(self.body(x)))


def adamw(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(module.parameters(), lr=0.01)


def data(size: int) -> DataLoader[Any]:
    features = torch.randn(24, 3, generator=torch.Generator().manual_seed(1))
    return DataLoader(TensorDataset(features, features.sum(1, keepdim=True)), batch_size=size)


def train(fabric: Fabric, model: Any, optimizer: Any) -> None:
    for index, (x, y) in enumerate(fabric.setup_dataloaders(data(2))):
        ends = index % 2 == 1
        with fabric.no_backward_sync(model, enabled=not ends):
            fabric.backward(mse_loss(model(x), y) / 2, model=model)
        if ends:
            fabric.clip_gradients(model, optimizer, max_norm=0.5)
            optimizer.step()
            optimizer.zero_grad()


def norms(fabric: Fabric, model: Any, optimizer: Any) -> list[Any]:
    """Return norms of the gradients of a batch, or why there is no such norm."""
    x, y = next(iter(fabric.setup_dataloaders(data(2))))
    fabric.backward(mse_loss(model(x), y), model=model)
    return [norm(fabric, model, optimizer, kind) for kind in NORMS]


def norm(fabric: Fabric, model: Any, optimizer: Any, kind: float) -> Any:
    try:
        return fabric.clip_gradients(model, optimizer, max_norm=1e9, norm_type=kind).item()
    except ConfigurationError as error:
        return str(error)


def evaluate() -> list[list[float]]:
    """Return what a model says of samples, of which one rank has more batches than the other."""
    fabric = Fabric(accelerator="cpu", devices=2, strategy=sys.argv[2])
    fabric.launch()
    outputs = []
    for seed in (3, 0):  # the first model is not used any more when the second one is evaluated
        model = fabric.setup_module(Net(seed))
        with torch.no_grad():
            batches = fabric.setup_dataloaders(data(8), even_batches=False)
            outputs = [model(x).flatten().tolist() for x, _ in batches]
    return outputs


def main(folder: Path, strategy: str) -> None:
    fabric = Fabric(accelerator="cpu", devices=2, strategy=strategy)
    fabric.launch()
    module = Net(int(os.environ["RANK"]))
    model, optimizer = fabric.setup(module, adamw(module))
    train(fabric, model, optimizer)
    fabric.save(folder / "half.ckpt", {"model": model, "optimizer": optimizer, "epoch": 1})
    other = Net(7)
    again, its_optimizer = fabric.setup(other, adamw(other))
    state = {"model": again, "optimizer": its_optimizer, "epoch": 0}
    fabric.load(folder / "half.ckpt", state)
    train(fabric, again, its_optimizer)
    fabric.save(folder / "end.ckpt", {"model": again})
    found: dict[str, Any] = {"epoch": state["epoch"], "refused": None}
    found["norms"] = norms(fabric, again, its_optimizer)
    found["evaluated"] = evaluate()
    late = fabric.setup_module(Net(0))
    with torch.no_grad():
        late(torch.ones(1, 3))
    try:
        its_optimizer = fabric.setup_optimizers(adamw(late))
        train(fabric, late, its_optimizer)
        fabric.save(folder / "late.ckpt", {"model": late})
    except ConfigurationError as error:
        found["refused"] = str(error)
    (folder / f"rank{fabric.global_rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
