"""A trainer for the authors of callbacks: it answers what callbacks ask, and trains nothing."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, final

import torch
from torch.optim import Optimizer

from fulmen_interfaces import (
    Callback,
    CheckpointCallback,
    Collectives,
    Every,
    Logger,
    LRSchedulerConfig,
    RunningStage,
    SingleProcessCollectives,
    World,
)


@final
@dataclass
class FakeTrainer:
    """A `TrainerView` whose every answer is an attribute to be set.

    Checkpoints are small real files, so that callbacks find on disk what they believe to be there; `saved` and
    `removed` hold the paths in order. Set `default_root_dir` to a temporary directory before anything is written.
    """

    default_root_dir: str = "."
    # -- progress
    current_epoch: int = 0
    global_step: int = 0
    is_last_batch: bool = False
    running_stage: RunningStage | None = None
    max_epochs: int | None = 1000
    max_steps: int = -1
    should_stop: bool = False
    # -- data
    num_training_batches: int | float = 4
    num_sanity_val_batches: list[int | float] = field(default_factory=lambda: [2])
    num_val_batches: list[int | float] = field(default_factory=lambda: [2])
    num_test_batches: list[int | float] = field(default_factory=lambda: [2])
    num_predict_batches: list[int | float] = field(default_factory=lambda: [2])
    accumulate_grad_batches: int = 1
    val_check_interval: int | float | timedelta | Every = 1.0
    # -- metrics
    callback_metrics: Mapping[str, torch.Tensor] = field(default_factory=dict)
    logged_metrics: Mapping[str, torch.Tensor] = field(default_factory=dict)
    progress_bar_metrics: Mapping[str, float] = field(default_factory=dict)
    loggers: Sequence[Logger] = ()
    log_every_n_steps: int = 50
    logging_step: int = 0
    # -- checkpoints
    ckpt_path: str | None = None
    fast_dev_run: bool | int = False
    val_check_due: bool = False
    check_val_every_n_epoch: int | None = 1
    enable_validation: bool = True
    saved: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    # -- the run
    world: World = field(default_factory=World)
    collectives: Collectives = field(default_factory=SingleProcessCollectives)
    callbacks: Sequence[Callback] = ()
    optimizers: Sequence[Optimizer] = ()
    lr_scheduler_configs: Sequence[LRSchedulerConfig] = ()
    root_device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def steps_between(self, every: Every, argument: str) -> int:
        """Return the interval's amount: here a sample, or a hundredth of an epoch, is a step."""
        return int(every.amount)

    @property
    def is_global_zero(self) -> bool:
        """Whether this process writes and prints, as `world` says."""
        return self.world.is_global_zero

    @property
    def log_dir(self) -> str | None:
        """Directory of the first logger, or the default root."""
        return self.loggers[0].log_dir if self.loggers else self.default_root_dir

    def stop_for_now(self) -> None:
        """Note it as `should_stop`."""
        self.should_stop = True

    def save_checkpoint(self, filepath: str, weights_only: bool = False, storage_options: Any = None) -> None:
        """Write a file that holds the counters and the callbacks' states."""
        states = {} if weights_only else {one.state_key: one.state_dict() for one in self.callbacks}
        Path(filepath).parent.mkdir(parents=True, exist_ok=True)
        torch.save({"epoch": self.current_epoch, "global_step": self.global_step, "callbacks": states}, filepath)
        self.saved.append(str(filepath))

    def tell_loggers_of_checkpoint(self, callback: CheckpointCallback) -> None:
        """Tell them."""
        for logger in self.loggers:
            logger.after_save_checkpoint(callback)

    def remove_checkpoint(self, filepath: str) -> None:
        """Remove the file or directory."""
        path = Path(filepath)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        self.removed.append(str(filepath))
