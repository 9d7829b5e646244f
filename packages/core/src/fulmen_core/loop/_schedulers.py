"""Stepping learning-rate schedulers at their intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from fulmen_core.loop._progress import FitProgress
from fulmen_interfaces import LRSchedulerConfig, ModuleError, rank_zero_warn


class SchedulerSteps:
    """The schedulers of a fit under automatic optimisation, sorted once by when they step."""

    def __init__(
        self,
        configs: Sequence[LRSchedulerConfig],
        *,
        progress: FitProgress,
        step: Callable[[Any, Any], None],
        metrics: Callable[[], Mapping[str, Tensor]],
    ) -> None:
        self._progress = progress
        self._step = step
        self._metrics = metrics
        self.by_step = [one for one in configs if one.interval == "step" and not one.reduce_on_plateau]
        """Those that `after_optimizer_step` is for."""
        self._by_epoch = [one for one in configs if one.interval == "epoch" and not one.reduce_on_plateau]
        self.plateau_by_step = [one for one in configs if one.interval == "step" and one.reduce_on_plateau]
        """Those that `after_batch` is for."""
        self._plateau_by_epoch = [one for one in configs if one.interval == "epoch" and one.reduce_on_plateau]
        self.metrics_are_lost = False
        """Whether the fit goes on from a file that does not hold what was logged: a metric may be absent then."""

    def after_optimizer_step(self) -> None:
        """Step those that count optimizer steps; `frequency` counts them over the whole fit."""
        for config in self.by_step:
            if self._progress.stepped_batches % config.frequency == 0:
                self._advance(config)

    def after_last_batch(self) -> None:
        """Step those that count epochs and watch nothing."""
        for config in self._by_epoch:
            if (self._progress.epoch + 1) % config.frequency == 0:
                self._advance(config)

    def after_batch(self) -> None:
        """Step those that count optimizer steps and watch a metric, when validation is done."""
        if self._progress.window_filled:
            return
        for config in self.plateau_by_step:
            if self._progress.stepped_batches % config.frequency == 0:
                self._advance(config)

    def after_epoch(self) -> None:
        """Step those that count epochs and watch a metric, when the epoch's metrics are complete."""
        for config in self._plateau_by_epoch:
            if (self._progress.epoch + 1) % config.frequency == 0:
                self._advance(config)

    def _advance(self, config: LRSchedulerConfig) -> None:
        value = self._watched(config) if config.reduce_on_plateau else None
        if config.reduce_on_plateau and value is None:
            return
        self._step(config.scheduler, value)
        self._progress.scheduler_steps += 1

    def _watched(self, config: LRSchedulerConfig) -> Tensor | None:
        metrics = self._metrics()
        value = metrics.get(str(config.monitor))
        if value is None:
            message = (
                f"The scheduler {type(config.scheduler).__name__} watches {config.monitor!r}, which was not logged. "
                f"Logged so far: {', '.join(sorted(metrics)) or 'nothing'}."
            )
            if config.strict and not self.metrics_are_lost:
                raise ModuleError(f"{message} Log it, watch another, or set 'strict': False to go on without.")
            rank_zero_warn(f"{message} The scheduler does not step.")
        return value
