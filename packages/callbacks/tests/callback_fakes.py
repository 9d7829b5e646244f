"""What the callbacks' tests stand on, beside the trainer of fulmen-testing that only pretends."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from fulmen_interfaces import Collectives, Logger, SingleProcessCollectives
from fulmen_testing import FakeTrainer

__all__ = ["FakeTrainer", "MemoryLogger", "Module", "ThreadCollectives", "run_ranks"]


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
