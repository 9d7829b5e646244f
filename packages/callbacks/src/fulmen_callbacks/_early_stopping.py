"""Ending training when a metric says so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, ClassVar

import torch
from torch import Tensor

from fulmen_callbacks._agreed import any_rank
from fulmen_callbacks._missing import missing_monitor
from fulmen_callbacks._problems import at_least, one_of, refuse
from fulmen_interfaces import (
    Callback,
    CallbackOrder,
    CallbackRole,
    ModuleView,
    RunningStage,
    TrainerView,
    rank_zero_warn,
)

_log = logging.getLogger("fulmen")


class EarlyStoppingReason(Enum):
    """Why training was stopped."""

    NOT_STOPPED = 0
    STOPPING_THRESHOLD = 1
    """The metric is better than `stopping_threshold`."""
    DIVERGENCE_THRESHOLD = 2
    """The metric is worse than `divergence_threshold`."""
    PATIENCE_EXHAUSTED = 3
    """The metric did not improve often enough."""
    NON_FINITE_METRIC = 4
    """The metric is infinite or no number."""


class EarlyStopping(Callback):
    """Stop training when a logged metric no longer improves.

    It improves when it is better than the best by more than `min_delta`; after `patience` checks without it, training
    ends. It also ends when the metric is better than `stopping_threshold`, worse than `divergence_threshold`, or with
    `check_finite` not a finite number. Checks happen at the end of each training epoch if each validates once at its
    end, and at the end of each validation otherwise; `check_on_train_epoch_end` decides it otherwise. With `strict` it
    is an error that the metric is not there. If one process decides to stop, all stop. Every fit begins anew, unless it
    goes on from a checkpoint.
    """

    order: ClassVar[CallbackOrder] = CallbackOrder.MONITOR
    role: ClassVar[CallbackRole | None] = CallbackRole.EARLY_STOPPING

    mode_dict: ClassVar[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {"min": torch.lt, "max": torch.gt}
    order_dict: ClassVar[dict[str, str]] = {"min": "<", "max": ">"}

    def __init__(  # noqa: PLR0913 (the arguments that users know)
        self,
        monitor: str,
        min_delta: float = 0.0,
        patience: int = 3,
        verbose: bool = False,
        mode: str = "min",
        strict: bool = True,
        check_finite: bool = True,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
        check_on_train_epoch_end: bool | None = None,
        log_rank_zero_only: bool = False,
    ) -> None:
        refuse([one_of("mode", mode, self.mode_dict), at_least("patience", patience, 0)])
        self.monitor = monitor
        self.min_delta = min_delta
        self.patience = patience
        self.verbose = verbose
        self.mode = mode
        self.strict = strict
        self.check_finite = check_finite
        self.stopping_threshold = stopping_threshold
        self.divergence_threshold = divergence_threshold
        self.log_rank_zero_only = log_rank_zero_only
        self._wanted_moment = check_on_train_epoch_end
        self._check_on_train_epoch_end = check_on_train_epoch_end
        self._fitting = False
        self._begin()

    def _begin(self) -> None:
        self.wait_count = 0
        """Checks since the metric last improved."""
        self.stopped_epoch = 0
        """The epoch in which it stopped training."""
        self.best_score = torch.tensor(torch.inf if self.mode == "min" else -torch.inf)
        self.stopping_reason = EarlyStoppingReason.NOT_STOPPED
        self.stopping_reason_message: str | None = None

    @property
    def state_key(self) -> str:
        settings = {"monitor": self.monitor, "mode": self.mode}
        return f"{type(self).__qualname__}{settings!r}"

    @property
    def monitor_op(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Whether the first is better than the second."""
        return self.mode_dict[self.mode]

    def setup(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        self._fitting = stage == "fit"
        if self._fitting:  # a checkpoint's state comes later
            self._begin()
        self._check_on_train_epoch_end = self._wanted_moment
        if self._wanted_moment is None:
            interval = trainer.val_check_interval
            once_at_the_end = isinstance(interval, float) and interval == 1.0
            self._check_on_train_epoch_end = once_at_the_end and trainer.check_val_every_n_epoch == 1

    def on_train_epoch_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if self._check_on_train_epoch_end and not self._skips(trainer):
            self._run_early_stopping_check(trainer)

    def on_validation_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if not self._check_on_train_epoch_end and not self._skips(trainer):
            self._run_early_stopping_check(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {
            "wait_count": self.wait_count,
            "stopped_epoch": self.stopped_epoch,
            "best_score": self.best_score,
            "patience": self.patience,
            "stopping_reason": self.stopping_reason.value,
            "stopping_reason_message": self.stopping_reason_message,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.wait_count = state_dict["wait_count"]
        self.stopped_epoch = state_dict["stopped_epoch"]
        self.best_score = torch.as_tensor(state_dict["best_score"])
        self.patience = state_dict["patience"]
        self.stopping_reason = EarlyStoppingReason(state_dict.get("stopping_reason", 0))
        self.stopping_reason_message = state_dict.get("stopping_reason_message")

    def _skips(self, trainer: TrainerView) -> bool:
        return not self._fitting or trainer.running_stage is RunningStage.SANITY_CHECKING

    def _run_early_stopping_check(self, trainer: TrainerView) -> None:
        """Look at the metric and stop training if it says so. For subclasses that check at other moments."""
        metrics = trainer.callback_metrics
        if trainer.fast_dev_run or not self._validate_condition_metric(metrics):
            return
        stops, message = self._evaluate_stopping_criteria(metrics[self.monitor].squeeze())
        if any_rank(trainer, stops):
            trainer.should_stop = True
            self.stopped_epoch = trainer.current_epoch
        if stops:
            self.stopping_reason_message = message
        if message and self.verbose:
            self._log_info(trainer, message, self.log_rank_zero_only)

    def _validate_condition_metric(self, logs: Mapping[str, Tensor]) -> bool:
        """Return whether the metric is there. With `strict` it is an error that it is not."""
        if self.monitor in logs:
            return True
        problem = missing_monitor(self.monitor, logs)
        if self.strict:
            refuse([problem])
        rank_zero_warn(f"EarlyStopping does not check: {problem}")
        return False

    def _evaluate_stopping_criteria(self, current: Tensor) -> tuple[bool, str | None]:
        """Return whether to stop, with a message; keep the best, the count and the reason. For other criteria."""
        reason, message = self._judge(current.detach().cpu())
        if reason is EarlyStoppingReason.NOT_STOPPED:
            return False, message
        self.stopping_reason = reason
        return True, message

    def _judge(self, current: Tensor) -> tuple[EarlyStoppingReason, str | None]:
        value, sign = f"{self.monitor} = {current.item():.5g}", self.order_dict[self.mode]
        if self.check_finite and not torch.isfinite(current):
            message = f"{value} is not a finite number; the best was {self.best_score.item():.5g}."
            return EarlyStoppingReason.NON_FINITE_METRIC, message
        if self.stopping_threshold is not None and self._better(current, self.stopping_threshold):
            message = f"{value} {sign} {self.stopping_threshold}, which is good enough."
            return EarlyStoppingReason.STOPPING_THRESHOLD, message
        if self.divergence_threshold is not None and self._better(-current, -self.divergence_threshold):
            message = f"{value} is worse than {self.divergence_threshold}: it diverges."
            return EarlyStoppingReason.DIVERGENCE_THRESHOLD, message
        return self._count(current, value)

    def _count(self, current: Tensor, value: str) -> tuple[EarlyStoppingReason, str | None]:
        needed = self.min_delta if self.mode == "max" else -self.min_delta
        if self._better(current - needed, self.best_score):
            message = f"{value} is better than {self.best_score.item():.5g}."
            self.best_score, self.wait_count = current, 0
            return EarlyStoppingReason.NOT_STOPPED, message
        self.wait_count += 1
        if self.wait_count < self.patience:
            return EarlyStoppingReason.NOT_STOPPED, None
        message = (
            f"{self.monitor} did not improve in the last {self.wait_count} checks; the best was {self.best_score:.5g}."
        )
        return EarlyStoppingReason.PATIENCE_EXHAUSTED, message

    def _better(self, one: Tensor, other: Tensor | float) -> bool:
        return bool(self.monitor_op(one, torch.as_tensor(other, dtype=one.dtype)))

    @staticmethod
    def _log_info(trainer: TrainerView, message: str, log_rank_zero_only: bool) -> None:
        if trainer.world.size == 1:
            _log.info(message)
        elif trainer.is_global_zero or not log_rank_zero_only:
            _log.info("[rank: %d] %s", trainer.world.rank, message)
