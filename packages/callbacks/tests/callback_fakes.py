"""A trainer that only pretends: it counts, holds metrics, and writes checkpoints that hold the callbacks' states."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch

from fulmen_interfaces import (
    Callback,
    Collectives,
    Logger,
    LRSchedulerConfig,
    RunningStage,
    SingleProcessCollectives,
    World,
)


class MemoryLogger(Logger):
    """Keeps what it is given."""

    def __init__(self, save_dir: str | None = None, name: str | None = "mem", version: int | str | None = 0) -> None:
        self._save_dir, self._name, self._version = save_dir, name, version
        self.rows: list[tuple[int | None, dict[str, float]]] = []
        self.saved: list[str] = []

    @property
    def name(self) -> str | None:
        return self._name

    @property
    def version(self) -> int | str | None:
        return self._version

    @property
    def save_dir(self) -> str | None:
        return self._save_dir

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        assert all(isinstance(value, (int, float)) for value in metrics.values()), metrics
        self.rows.append((step, dict(metrics)))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None: ...

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        self.saved.append(checkpoint_callback.best_model_path)


@dataclass
class FakeTrainer:
    """Fulfils `TrainerView` with plain attributes."""

    default_root_dir: str = "."
    callbacks: list[Callback] = field(default_factory=list)
    loggers: list[Logger] = field(default_factory=list)
    current_epoch: int = 0
    global_step: int = 0
    logging_step: int = 0
    is_last_batch: bool = False
    running_stage: RunningStage | None = None
    max_epochs: int | None = 1000
    max_steps: int = -1
    should_stop: bool = False
    num_training_batches: int | float = 4
    num_sanity_val_batches: list[int | float] = field(default_factory=lambda: [2])
    num_val_batches: list[int | float] = field(default_factory=lambda: [2])
    num_test_batches: list[int | float] = field(default_factory=list)
    num_predict_batches: list[int | float] = field(default_factory=list)
    accumulate_grad_batches: int = 1
    val_check_interval: int | float | timedelta = 1.0
    check_val_every_n_epoch: int | None = 1
    enable_validation: bool = True
    val_check_due: bool = False
    callback_metrics: dict[str, torch.Tensor] = field(default_factory=dict)
    logged_metrics: dict[str, torch.Tensor] = field(default_factory=dict)
    progress_bar_metrics: dict[str, float] = field(default_factory=dict)
    log_every_n_steps: int = 50
    fast_dev_run: bool | int = False
    ckpt_path: str | None = None
    world: World = field(default_factory=World)
    collectives: Collectives = field(default_factory=SingleProcessCollectives)
    optimizers: list[torch.optim.Optimizer] = field(default_factory=list)
    lr_scheduler_configs: list[LRSchedulerConfig] = field(default_factory=list)
    root_device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    saved: list[str] = field(default_factory=list)
    """Every path that a checkpoint was written to, in order."""

    @property
    def log_dir(self) -> str | None:
        return self.loggers[0].log_dir if self.loggers else self.default_root_dir

    @property
    def is_global_zero(self) -> bool:
        return self.world.is_global_zero

    def save_checkpoint(self, filepath: str, weights_only: bool = False, storage_options: Any = None) -> None:
        self.saved.append(filepath)
        if not self.is_global_zero:
            return
        os.makedirs(os.path.dirname(filepath), exist_ok=True)
        states = {} if weights_only else {one.state_key: one.state_dict() for one in self.callbacks}
        content = {"epoch": self.current_epoch, "global_step": self.global_step, "callbacks": states}
        torch.save(content, filepath)

    def remove_checkpoint(self, filepath: str) -> None:
        if self.is_global_zero and os.path.lexists(filepath):
            os.remove(filepath)


class Module(torch.nn.Module):
    """Fulfils `ModuleView` around a linear layer; what is logged lands in `logged`."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.example_input_array: Any = None
        self.logged: dict[str, Any] = {}

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layer(inputs)

    def log(self, name: str, value: Any, **options: Any) -> None:
        self.logged[name] = value

    def log_dict(self, dictionary: Mapping[str, Any], **options: Any) -> None:
        self.logged.update(dictionary)


class ThreadCollectives(SingleProcessCollectives):
    """The broadcasts of several ranks, each of which is a thread of this process."""

    def __init__(self, rank: int, barrier: threading.Barrier, slot: list[Any]) -> None:
        self.rank, self.meeting, self.slot = rank, barrier, slot
        self.broadcasts = 0

    def broadcast(self, value: Any, src: int = 0) -> Any:
        self.broadcasts += 1
        if self.rank == src:
            self.slot[0] = pickle.dumps(value)
        self.meeting.wait(timeout=20)
        received = pickle.loads(self.slot[0])
        self.meeting.wait(timeout=20)
        return received

    def barrier(self, name: str = "") -> None:
        self.meeting.wait(timeout=20)


def run_ranks(size: int, task: Callable[[int, Collectives], Any]) -> list[Any]:
    """Run a task once per rank, in threads; return the results by rank."""
    meeting, slot = threading.Barrier(size), [None]

    def one(rank: int) -> Any:
        try:
            return task(rank, ThreadCollectives(rank, meeting, slot))
        except BaseException:
            meeting.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))
