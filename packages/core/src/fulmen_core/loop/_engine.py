"""The engine of one run in one process: everything that the loops work with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from fulmen_core.data import DevicePrefetch, LightningDataModule
from fulmen_core.logging import LoggerGroup, Recorder, RecordGroup, Results, Value
from fulmen_core.loop._hook_table import HookTable
from fulmen_core.loop._profile import Profiling
from fulmen_core.loop._progress import FitProgress
from fulmen_core.loop._signals import SignalWatch
from fulmen_core.loop._steps import StepEntry
from fulmen_core.module import LightningModule
from fulmen_core.settings import EffectiveSettings
from fulmen_interfaces import (
    Accelerator,
    Callback,
    Collectives,
    LRSchedulerConfig,
    PreparedModel,
    RunningStage,
    Stage,
    SupportsJointEvaluation,
    SupportsLazyExecution,
    TrainerView,
    World,
)

Transfer = Callable[[Any, int], Any]


@dataclass
class RunControl:
    """What is being done, and what users ask of it meanwhile."""

    should_stop: bool = False
    """Training ends after this batch, if the least that was asked for is done."""
    asked: bool = False
    """Whether a user asked for that on this rank."""
    agrees: bool = False
    """Whether ranks agree on it first."""
    for_now: bool = False
    """Whether a limit alone asked for it: who goes on from a checkpoint may have another."""
    stage: RunningStage | None = None
    """What is being done; written by the loops."""

    def ask(self, stop: bool, *, for_now: bool = False) -> None:
        """Ask for an end, or withdraw that."""
        self.for_now = for_now and (self.for_now or not (self.asked or self.should_stop))
        self.asked = stop
        if not (stop and self.agrees):
            self.should_stop = stop


@dataclass(kw_only=True)
class RunParts:
    """What one run consists of before its model is prepared. Made by the trainer; the loops write `progress`."""

    stage: Stage
    trainer: TrainerView
    module: LightningModule
    datamodule: LightningDataModule | None
    callbacks: tuple[Callback, ...]
    settings: EffectiveSettings
    world: World
    device: torch.device
    accelerator: Accelerator
    collectives: Collectives
    recorder: Recorder
    results: Results
    loggers: LoggerGroup
    hooks: HookTable
    signals: SignalWatch
    profiling: Profiling
    progress: FitProgress
    control: RunControl

    @contextmanager
    def running(self, stage: RunningStage) -> Iterator[None]:
        """Inside, this stage is what is being done."""
        before, self.control.stage = self.control.stage, stage
        try:
            yield
        finally:
            self.control.stage = before

    @property
    def shared(self) -> Collectives | None:
        """The collectives where there are several processes, else None."""
        return self.collectives if self.world.size > 1 else None


@dataclass(kw_only=True)
class Engine(RunParts):
    """A run that is ready: its model is prepared."""

    prepared: PreparedModel
    entry: StepEntry
    transfer: Transfer | None
    """Brings a batch to the device, hooks included; None where nothing is to be done."""
    prefetch: DevicePrefetch | None = None
    """Copies evaluation batches ahead; None where that does not go."""
    scheduler_configs: Sequence[LRSchedulerConfig] = ()
    resumed_from: Mapping[str, Any] | None = None
    """What the checkpoint from which the fit goes on holds for fulmen alone; None as soon as it has been put back."""

    def __post_init__(self) -> None:
        accelerator = self.accelerator
        self.mark_step = accelerator.mark_step if isinstance(accelerator, SupportsLazyExecution) else None
        """Runs what a lazy device recorded; None where operations run at once. Called after every batch."""
        prepared = self.prepared
        self.evaluating = prepared.evaluating if isinstance(prepared, SupportsJointEvaluation) else nullcontext
        """Makes the context around the batches of one evaluation loader; all ranks enter it."""
        self.save_logs = self.profiled("save_logs", self.loggers.save)
        """Lets the loggers write what they hold back."""
        self._log_metrics = self.profiled("log_metrics", self.loggers.log_metrics)
        self._take_step = self.profiled("reduce_metrics", self.results.take_step)
        self._publish_epoch = self.profiled("reduce_metrics", self.results.publish_epoch)

    def inference(self) -> AbstractContextManager[Any]:
        """Return the context in which weights are only read.

        Within a fit it is never inference mode: what a module keeps from validation must remain usable in training.
        """
        return (
            torch.inference_mode() if self.settings.inference_mode and self.stage is not Stage.FIT else torch.no_grad()
        )

    def profiled(self, action: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call, measured under that name where the run is profiled."""
        return self.profiling.wrap(action, call)

    def log_metrics(self, values: Mapping[str, Value], step: int) -> None:
        """Send values to the loggers."""
        if values and self.loggers:
            self._log_metrics(values, step, self.progress.epoch)

    def log_training_step(self, step: int) -> None:
        """Send the newest step values of training to the loggers."""
        self.log_metrics(self._take_step(self.recorder.training, self.shared), step)

    def log_evaluation_step(self, step: int) -> None:
        """Send an evaluation batch's step values to the loggers: this rank's, for others may have no such batch."""
        values = self._take_step(self.recorder.evaluation)
        if values and self.loggers:
            self._log_metrics(values, step, None)

    def publish_epoch(self, group: RecordGroup) -> None:
        """Reduce what was logged for the epoch, and show it to everybody."""
        self._publish_epoch(group, self.shared, self.module)
