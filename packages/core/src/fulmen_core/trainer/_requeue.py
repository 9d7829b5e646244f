"""Jobs that a scheduler warns of their end and runs again: the run is saved, and goes on in the next start."""

from __future__ import annotations

import os
import signal
import threading
import time
from itertools import count
from typing import Any

import torch

from fulmen_core.checkpoint import modified
from fulmen_core.loop import Terminated
from fulmen_interfaces import (
    Callback,
    CallbackOrder,
    ClusterEnvironment,
    Collectives,
    RankError,
    ReduceOp,
    SupportsRequeue,
    World,
    rank_zero_info,
    rank_zero_warn,
)

_SECONDS_BETWEEN_QUESTIONS = 1.0
_MOST_BATCHES_BETWEEN = 1000
_fits = count()


class Requeue(Callback):
    """Saves and has the job run again once its scheduler has warned of the end; added to a fit where that is possible.

    The ranks may notice the warning in different batches, so they ask each other: about once a second, by a number of
    batches that all of them know. It is acted on after a batch, or after a validation.
    """

    order = CallbackOrder.CHECKPOINT

    def __init__(self, environment: SupportsRequeue, number: int, *, world: World, collectives: Collectives) -> None:
        self._environment = environment
        self._number = number
        self._world = world
        self._collectives = collectives
        self._fit = next(_fits)
        self._warned = False
        self._previous: Any = None
        self._installed = False
        self._left = self._every = 1
        self._asked_at = time.monotonic()

    @classmethod
    def of(cls, environment: ClusterEnvironment | None, world: World, collectives: Collectives) -> Requeue | None:
        """Return one for a fit in that environment; None where nobody would run the job again."""
        if not isinstance(environment, SupportsRequeue) or environment.requeue_signal is None:
            return None
        return cls(environment, environment.requeue_signal, world=world, collectives=collectives)

    def path(self, folder: str | os.PathLike[str]) -> str:
        """Return where this fit of this job is saved: its name stays the same when the job is run again."""
        return os.path.join(folder, f"hpc_ckpt_{self._environment.job_id}_{self._fit}.ckpt")

    def found(self, folder: str | os.PathLike[str]) -> str | None:
        """Return what an earlier start of this job has saved of this fit, if it has. On all ranks."""
        path = self.path(folder)
        exists = self._collectives.broadcast(modified(path) is not None)
        if exists:
            rank_zero_info(f"Job {self._environment.job_id} was run again: training goes on from {path}.")
        return path if exists else None

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Listen to the scheduler from now on."""
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(self._number, self._note)
            self._installed = True

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save where a rank was warned."""
        self._left -= 1
        if self._left <= 0 and self._anybody_warned():
            self._act(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Save where a rank was warned meanwhile."""
        if not trainer.sanity_checking and self._anybody_warned():
            self._act(trainer)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Leave the signal to whom it belonged."""
        if self._installed:
            signal.signal(self._number, signal.SIG_DFL if self._previous is None else self._previous)
            self._installed = False

    def _note(self, number: int, frame: object) -> None:
        self._warned = True
        if callable(self._previous):
            self._previous(number, frame)

    def _anybody_warned(self) -> bool:
        """Return whether any rank was warned. Asks the others, and says when to ask again."""
        now = time.monotonic()
        seconds = (now - self._asked_at) / self._every
        warned = self._warned
        if self._world.size > 1:
            mine = torch.tensor([float(warned), seconds], dtype=torch.float64)
            both = self._collectives.all_reduce(mine, ReduceOp.MAX).tolist()
            warned, seconds = bool(both[0]), both[1]
            between = int(_SECONDS_BETWEEN_QUESTIONS / max(seconds, 1e-9))
            self._every = min(max(between, 1), _MOST_BATCHES_BETWEEN)
        self._left, self._asked_at = self._every, time.monotonic()
        return warned

    def _act(self, trainer: Any) -> None:
        """Save, have the job run again and end this run; where that is refused, train on."""
        self._warned = False
        trainer.save_checkpoint(self.path(trainer.default_root_dir))
        if self._collectives.broadcast(self._is_accepted()):
            raise Terminated(self._number)

    def _is_accepted(self) -> bool:
        if not self._world.is_global_zero:
            return False
        try:
            self._environment.requeue()
        except RankError as error:
            rank_zero_warn(str(error))
            return False
        return True
