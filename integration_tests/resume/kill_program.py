"""Trains in processes that are killed without warning: `python kill_program.py <plan as JSON>`.

One process that has imported everything forks those that are killed, so that a kill costs no import. What came of it
is printed as JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from resume_cases import Case, Net

import fulmen_core as L
from fulmen_callbacks import ModelCheckpoint
from fulmen_core import TorchCheckpointIO, Trainer
from fulmen_interfaces import Callback, CallbackOrder

CASE = Case(accumulate=2, augment="torch", scheduler="step", val_check_interval=3, random_validation=True, max_epochs=4)
PAUSE = 0.004
"""Seconds for which each batch lasts longer, so that kills fall everywhere."""


class Slow(Net):
    """A module whose weights take so many bytes, nearly all of them unused."""

    def __init__(self, ballast: int) -> None:
        super().__init__(CASE)
        self.register_buffer("ballast", torch.arange(ballast // 4, dtype=torch.float32))

    def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int = 0) -> Any:
        time.sleep(PAUSE)
        return super().training_step(batch, batch_idx)


class Reports(Callback):
    """Writes down each step whose checkpoint is complete."""

    order = CallbackOrder.CHECKPOINT

    def __init__(self, file: Path) -> None:
        self.file = file

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if not trainer.global_step:  # no step is done yet, and nothing was saved
            return
        with self.file.open("a") as out:
            out.write(f"{trainer.global_step}\n")


def train(folder: Path, ballast: int) -> None:
    """Train from the newest checkpoint on, or from the start, and leave the outcome in a file."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    L.seed_everything(3, verbose=False)
    module, (train_data, validation) = Slow(ballast), CASE.make_data()
    keeper = ModelCheckpoint(dirpath=folder / "checkpoints", every_n_train_steps=1, save_last=True)
    arguments = {**CASE.trainer_arguments(), "enable_checkpointing": True, "logger": False, "num_sanity_val_steps": 0}
    trainer = Trainer(
        **arguments,
        callbacks=[keeper, Reports(folder / "steps.txt")],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, train_data, validation, ckpt_path="last")
    outcome = {
        "weights": module.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "metrics": trainer.callback_metrics,
        "steps": trainer.global_step,
    }
    torch.save(outcome, folder / "outcome.pt")


def forked(task: Callable[[], None]) -> int:
    """Run a task in a process of its own, and return its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        task()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def ended(pid: int) -> int | None:
    """Return the exit status of a process, or None while it runs."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return status if done else None


def killed_at_random(pid: int, draw: random.Random, folder: Path) -> int:
    """Kill after a random time; return the exit status."""
    deadline = time.monotonic() + draw.uniform(0.02, 0.5)
    while time.monotonic() < deadline:
        status = ended(pid)
        if status is not None:
            return status
        time.sleep(0.002)
    return kill(pid)


def killed_while_writing(pid: int, draw: random.Random, folder: Path) -> int:
    """Kill when a random part of a checkpoint is written, or when it gets its name; return the exit status."""
    whole = size_of(folder.parent / "whole" / "checkpoints" / "last.ckpt")
    writes, share = draw.randint(1, 4), min(1.0, draw.uniform(0.0, 2.0))
    seen = ""
    while True:
        status = ended(pid)
        if status is not None:
            return status
        for file in (folder / "checkpoints").glob(".*.tmp"):
            if file.name != seen:
                seen, writes = file.name, writes - 1
            if writes <= 0 and size_of(file) >= share * whole:
                if share == 1.0:
                    time.sleep(draw.random() * 0.01)
                return kill(pid)
        time.sleep(0.0002)


def size_of(file: Path) -> int:
    """Return the size of a file, which may just have got its name."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def kill(pid: int) -> int:
    """Kill, and return the exit status."""
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


HOW = {"at random": killed_at_random, "while writing": killed_while_writing}


def intact(folder: Path, promised: int) -> list[str]:
    """Return what is wrong with the checkpoints of a killed run: each must load, and the newest must be new enough."""
    wrong, newest = [], -1
    for file in (folder / "checkpoints").glob("*.ckpt"):
        try:
            newest = max(newest, TorchCheckpointIO().load(str(file))["global_step"])
        except Exception as error:
            wrong.append(f"{file.name}: {type(error).__name__}: {error}")
    if newest < promised:
        wrong.append(f"step {promised} was saved, but the newest file is of step {newest}")
    return wrong


def promised_step(folder: Path) -> int:
    """Return the newest step whose checkpoint was complete before the kill."""
    file = folder / "steps.txt"
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return max(map(int, lines), default=-1)


def main(plan: dict[str, Any]) -> dict[str, Any]:
    """Kill as often as planned, then let the run come to its end."""
    torch.optim.Adam([torch.zeros(1)])  # what the first optimizer imports, each process would import again
    folder, draw = Path(plan["folder"]), random.Random(plan["seed"])
    how, kills, runs, wrong, amid = HOW[plan["how"]], 0, 0, [], 0
    (folder / "whole").mkdir()
    assert os.waitpid(forked(lambda: train(folder / "whole", plan["ballast"])), 0)[1] == 0
    cut = folder / "cut0"
    cut.mkdir()
    while kills < plan["kills"]:
        status = how(forked(partial(train, cut, plan["ballast"])), draw, cut)
        if status == 0:  # it was done before the kill: begin another run
            wrong += different(folder / "whole", cut)
            runs += 1
            cut = folder / f"cut{runs}"
            cut.mkdir()
            continue
        if not os.WIFSIGNALED(status):
            wrong.append(f"a process ended by itself with status {status}")
            break
        kills += 1
        amid += any((cut / "checkpoints").glob(".*.tmp"))
        wrong += intact(cut, promised_step(cut))
    assert os.waitpid(forked(lambda: train(cut, plan["ballast"])), 0)[1] == 0
    wrong += different(folder / "whole", cut)
    left = [file.name for file in (cut / "checkpoints").iterdir()]
    return {"kills": kills, "amid writing": amid, "wrong": wrong, "left": left}


def different(whole: Path, cut: Path) -> list[str]:
    """Return whether a run that was killed came out otherwise than one that was not."""
    one, other = (torch.load(folder / "outcome.pt", weights_only=False) for folder in (whole, cut))
    return [] if same(one, other) else [f"{cut.name} came out otherwise"]


def same(one: Any, other: Any) -> bool:
    """Compare nested values; tensors by all their bits."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
