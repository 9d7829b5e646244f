"""A program of several loops on two processes, which writes what each rank saw: `fabric_program.py FOLDER`."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import ReduceOp
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader

from fulmen_core import Fabric, Trainer
from fulmen_interfaces import ConfigurationError, ModuleError
from fulmen_strategy_ddp import DDPStrategy
from fulmen_testing import FakeLogger

sys.path.insert(0, str(Path(__file__).parent))

from fabric_cases import Net, loader, samples, sgd, train

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


class Methods(Net):
    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return mse_loss(self(x), y)


def made(kind: type[Net] = Net) -> Net:
    """Return the model with known weights on rank zero, and others elsewhere."""
    return kind(seed=int(os.environ.get("RANK", "0")))


def launched(**arguments: Any) -> Fabric:
    fabric = Fabric(**{"accelerator": "cpu", "devices": 2, "strategy": "ddp", **arguments})
    fabric.launch()
    return fabric


def weights(module: nn.Module) -> dict[str, list[float]]:
    return {name: value.flatten().tolist() for name, value in module.state_dict().items()}


def counting_hook(state: list[int], bucket: Any) -> Any:
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

    state[0] += 1
    return allreduce_hook(None, bucket)  # type: ignore[arg-type]


counting_hook.__annotations__.clear()  # torch wants its own types there, or none


def beside_a_trainer(precision: Any, accumulate: int, clip: float | None) -> dict[str, Any]:
    ours, theirs = made(), made()
    train(launched(precision=precision), ours, accumulate=accumulate, clip=clip)
    Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_epochs=2, precision=precision,
        accumulate_grad_batches=accumulate, gradient_clip_val=clip, **QUIET,
    ).fit(theirs, loader())  # fmt: skip
    return {"ours": weights(ours), "trainers": weights(theirs)}


def accumulation() -> int:
    calls = [0]
    fabric = launched(strategy=DDPStrategy(ddp_comm_hook=counting_hook, ddp_comm_state=calls))
    train(fabric, made(), accumulate=3, epochs=1)  # three batches on each rank
    return calls[0]


def adversaries() -> dict[str, Any]:
    """Two models; the second's loss goes through both."""
    fabric = launched()
    one, other = made(), made()
    a, step_a = fabric.setup(one, sgd(one))
    b, step_b = fabric.setup(other, sgd(other))
    for x, y in fabric.setup_dataloaders(loader()):
        step_a.zero_grad()
        fabric.backward(mse_loss(a(x), y), model=a)
        step_a.step()
        step_b.zero_grad()
        fabric.backward(mse_loss(a(b(x).expand(-1, 3)), y))
        step_b.step()
    return {"one": weights(one), "other": weights(other)}


def later() -> dict[str, Any]:
    """Optimizers made after the model was set up, a marked method, one that is not."""
    fabric, module = launched(), made(Methods)
    model = fabric.setup_module(module)
    optimizer = fabric.setup_optimizers(sgd(model))
    refused = ""
    try:
        model.loss(*next(iter(loader())))
    except ModuleError as error:
        refused = str(error)
    model.mark_forward_method(module.loss)
    data = fabric.setup_dataloaders(loader())
    for _ in range(2):
        for x, y in data:
            optimizer.zero_grad()
            fabric.backward(model.loss(x, y))
            optimizer.step()
    return {"weights": weights(module), "refused": refused}


def evaluation(size: int) -> dict[str, Any]:
    """Ranks with different numbers of batches, through a model in training mode with buffers."""
    fabric = launched()
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    model, _ = fabric.setup(module, sgd(module))
    numbers = DataLoader(range(size), batch_size=2)  # type: ignore[arg-type]
    data = fabric.setup_dataloaders(numbers, even_batches=False)
    seen = [batch.tolist() for batch in data]
    with torch.no_grad():
        for batch in data:
            model(batch[:, None].expand(-1, 3).float().repeat(2, 1))
    every = [batch.tolist() for batch in fabric.setup_dataloaders(numbers)]
    fabric.barrier()
    return {"once": seen, "even": every}


def shuffling() -> list[Any]:
    fabric = launched()
    fabric.seed_everything(3, verbose=False)
    data = fabric.setup_dataloaders(DataLoader(range(6), batch_size=1, shuffle=True))  # type: ignore[arg-type]
    whole = fabric.setup_dataloaders(DataLoader(range(6)), use_distributed_sampler=False)  # type: ignore[arg-type]
    return [[batch.item() for batch in data], [batch.item() for batch in data], len(whole)]


def together(folder: Path) -> dict[str, Any]:
    logger = FakeLogger()
    fabric = launched(loggers=[logger])
    rank = fabric.global_rank
    fabric.log("rank", rank, step=1)
    gathered = fabric.all_gather({"rank": torch.tensor([float(rank)]), "number": rank, "word": "x"})
    value = torch.tensor(float(rank), requires_grad=True)
    (fabric.all_gather(value, sync_grads=True) * torch.tensor([2.0, 3.0])).sum().backward()
    with fabric.rank_zero_first():
        (folder / f"entered-{rank}").write_text(str(time.monotonic_ns()))
        time.sleep(0.05 if rank == 0 else 0.0)
    fabric.print("printed once")
    return {
        "gathered": [gathered["rank"].tolist(), gathered["number"].tolist(), gathered["word"]],
        "gradient": value.grad.item() if value.grad is not None else None,
        "reduced": [fabric.all_reduce(torch.tensor(float(rank)), reduce_op=op).item() for op in ("mean", "sum", "max")],
        "reduced as torch says": [
            fabric.all_reduce(rank + 1.0, reduce_op=op).item()
            for op in (ReduceOp.SUM, ReduceOp.MAX, ReduceOp.MIN, ReduceOp.AVG)
        ],
        "broadcast": fabric.broadcast({"from": rank}, src=1),
        "metrics": logger.metrics,
        "place": [fabric.world_size, fabric.local_rank, fabric.node_rank, fabric.is_global_zero],
    }


def files(folder: Path, **arguments: Any) -> dict[str, Any]:
    """Save in the middle and go on; load that into other objects and go on likewise."""
    found: dict[str, Any] = {}
    path = folder / ("directory.ckpt" if arguments else "file.ckpt")
    for name, seed in (("whole", 0), ("rest", 7)):
        fabric = launched(strategy=DDPStrategy(**arguments))
        module = Net(seed)
        model, optimizer = fabric.setup(module, sgd(module))
        state: dict[str, Any] = {"net": model, "sgd": optimizer, "step": 0}
        if name == "rest":
            found["besides"] = list(fabric.load(path, state))
        for x, y in list(fabric.setup_dataloaders(loader()))[state["step"] :]:
            if name == "whole" and state["step"] == 2:
                fabric.save(path, {**state, "besides": [1]})
            optimizer.zero_grad()
            fabric.backward(mse_loss(model(x), y))
            optimizer.step()
            state["step"] += 1
        found[name] = weights(module)
    found["is_directory"] = path.is_dir()
    found["names"] = sorted(fabric.load(path))
    if arguments:
        try:
            fabric.save(folder / "two", {"one": model, "other": fabric.setup_module(Net())})
        except ConfigurationError as error:
            found["two"] = str(error)
    return found


def main(folder: Path) -> None:
    found = {
        "trainer": beside_a_trainer(None, 1, None),
        "trainer_mixed": beside_a_trainer("bf16-mixed", 3, 0.2),
        "trainer_scaled": beside_a_trainer("16-mixed", 1, 0.2),
        "accumulation": accumulation(),
        "adversaries": adversaries(),
        "later": later(),
        "evaluation": {size: evaluation(size) for size in (1, 2, 5)},
        "shuffling": shuffling(),
        "together": together(folder),
        "file": files(folder),
        "directory": files(folder, state_dict_type="sharded"),
    }
    assert len(samples()) == 12
    (folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
