"""What plugins see of the trainer and of the module: narrow, mostly read-only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from fulmen_interfaces._accelerator import Accelerator
from fulmen_interfaces._callback import Callback, CheckpointCallback
from fulmen_interfaces._every import Every
from fulmen_interfaces._logger import Logger
from fulmen_interfaces._schedule import LRSchedulerConfig
from fulmen_interfaces._stages import RunningStage
from fulmen_interfaces._strategy import Strategy
from fulmen_interfaces._world import Collectives, World

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer


class ProgressView(Protocol):
    """How far the run has come."""

    @property
    def current_epoch(self) -> int:
        """The epoch that is running, from 0; after the last, the number of epochs run."""
        ...

    @property
    def global_step(self) -> int:
        """Steps of all optimizers so far."""
        ...

    @property
    def is_last_batch(self) -> bool:
        """Whether the present batch ends the epoch."""
        ...

    @property
    def running_stage(self) -> RunningStage | None:
        """What is being done; None between runs."""
        ...

    @property
    def max_epochs(self) -> int | None:
        """Epochs after which training ends; -1: never, None: not limited by epochs."""
        ...

    @property
    def max_steps(self) -> int:
        """Optimizer steps after which training ends; -1: never."""
        ...

    should_stop: bool
    """Set it to end training after this batch (and after the minimum that was asked for)."""

    def stop_for_now(self) -> None:
        """End training likewise, but as a limit does: who goes on from a checkpoint trains on. Call it on all ranks."""
        ...


class DataView(Protocol):
    """How much data there is. `float("inf")` where a loader does not tell its length."""

    @property
    def num_training_batches(self) -> int | float:
        """Training batches of an epoch on this rank."""
        ...

    @property
    def num_sanity_val_batches(self) -> list[int | float]:
        """Batches of the sanity check, by loader."""
        ...

    @property
    def num_val_batches(self) -> list[int | float]:
        """Validation batches, by loader."""
        ...

    @property
    def num_test_batches(self) -> list[int | float]:
        """Test batches, by loader."""
        ...

    @property
    def num_predict_batches(self) -> list[int | float]:
        """Prediction batches, by loader."""
        ...

    accumulate_grad_batches: int
    """Batches of a full accumulation window. It may be set during a fit where no window is open, as in
    `on_train_epoch_start`; elsewhere, and under manual optimisation, that raises ConfigurationError."""

    @property
    def val_check_interval(self) -> int | float | timedelta | Every:
        """Training between validations: batches (int), a share of the epoch (float; 1.0: at its end), or a unit's."""
        ...

    def steps_between(self, every: Every, argument: str) -> int:
        """Return what samples or a share of an epoch come to in steps, as `logging_step` counts them.

        Known from `on_train_start` on. Raises ConfigurationError, naming the argument, where the data does not tell.
        """
        ...


class MetricsView(Protocol):
    """What was logged, and where it goes."""

    @property
    def callback_metrics(self) -> Mapping[str, torch.Tensor]:
        """The newest value of every logged metric."""
        ...

    @property
    def logged_metrics(self) -> Mapping[str, torch.Tensor]:
        """The newest value of every key that goes to the loggers, written yet or not."""
        ...

    @property
    def progress_bar_metrics(self) -> Mapping[str, float]:
        """The newest values of the metrics logged with `prog_bar=True`, as numbers; reading waits for the device."""
        ...

    @property
    def loggers(self) -> Sequence[Logger]:
        """All loggers."""
        ...

    @property
    def log_dir(self) -> str | None:
        """Directory of the first logger, or the default root; the same on every rank."""
        ...

    @property
    def default_root_dir(self) -> str:
        """Where files go if nothing else is said."""
        ...

    @property
    def log_every_n_steps(self) -> int:
        """Optimizer steps between writes of step metrics."""
        ...

    @property
    def logging_step(self) -> int:
        """The number under which step metrics are written now: training batches that stepped an optimizer so far."""
        ...


class CheckpointView(Protocol):
    """What checkpointing callbacks need."""

    def save_checkpoint(self, filepath: str, weights_only: bool = False, storage_options: Any = None) -> None:
        """Write a checkpoint; call it on every rank."""
        ...

    def remove_checkpoint(self, filepath: str) -> None:
        """Remove a checkpoint; call it on every rank."""
        ...

    def tell_loggers_of_checkpoint(self, callback: CheckpointCallback) -> None:
        """Let the loggers know that this callback has just written a checkpoint; call it on every rank."""
        ...

    @property
    def ckpt_path(self) -> str | None:
        """The checkpoint that this run began from; None where it began afresh."""
        ...

    @property
    def fast_dev_run(self) -> bool | int:
        """Whether this is a trial of a few batches, which must leave no files."""
        ...

    @property
    def val_check_due(self) -> bool:
        """Whether validation will run right after the present training batch."""
        ...

    @property
    def check_val_every_n_epoch(self) -> int | None:
        """Epochs between validations; None where batches are counted across epochs."""
        ...

    @property
    def enable_validation(self) -> bool:
        """Whether this fit validates at all."""
        ...


class TrainerView(ProgressView, DataView, MetricsView, CheckpointView, Protocol):
    """The trainer as callbacks see it."""

    @property
    def world(self) -> World:
        """The place of this process among all."""
        ...

    @property
    def is_global_zero(self) -> bool:
        """Whether this process writes and prints."""
        ...

    @property
    def collectives(self) -> Collectives:
        """How the processes speak to each other."""
        ...

    @property
    def callbacks(self) -> Sequence[Callback]:
        """All callbacks, in the order in which they are called."""
        ...

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """The optimizers of the run."""
        ...

    @property
    def lr_scheduler_configs(self) -> Sequence[LRSchedulerConfig]:
        """The schedulers of the run."""
        ...

    @property
    def root_device(self) -> torch.device:
        """The device of this process."""
        ...


@runtime_checkable
class SupportsAccelerator(Protocol):
    """A trainer that tells its accelerator."""

    @property
    def accelerator(self) -> Accelerator:
        """The family of devices on which it runs."""
        ...


@runtime_checkable
class SupportsStrategy(Protocol):
    """A trainer that tells its strategy."""

    @property
    def strategy(self) -> Strategy:
        """How training is spread over devices."""
        ...


@runtime_checkable
class SupportsPredictionIndices(Protocol):
    """A trainer that tells which samples it predicts."""

    @property
    def predict_batch_indices(self) -> Sequence[int] | None:
        """Positions of the present batch's samples in the dataset; None where the loader does not tell them.

        They are recorded in runs with a callback that is a `ReadsPredictionIndices`, and None in others.
        """
        ...


@runtime_checkable
class ReadsPredictionIndices(Protocol):
    """A callback that asks the trainer for `predict_batch_indices`."""

    reads_prediction_indices: bool
    """Whether it does so in the run that begins."""


@runtime_checkable
class SupportsTrainingData(Protocol):
    """A trainer that lets callbacks look at the training data."""

    def training_batches(self) -> Iterable[Any]:
        """Return an epoch of this rank's training batches on the device, aside from the fit that is under way.

        Its position and its counters stay where they are; what random choices are drawn from moves on.
        """
        ...


@runtime_checkable
class SchedulesAccumulation(Protocol):
    """A callback that sets the size of accumulation windows by epoch, so that steps can be foreseen."""

    def accumulation_at(self, epoch: int) -> int:
        """Return the batches of a full window in that epoch, from 0."""
        ...


class ModuleView(Protocol):
    """The module as callbacks see it: a `torch.nn.Module` that can log."""

    example_input_array: Any
    """One input of `forward`, for summaries and exports; None where the user gave none."""

    @property
    def training(self) -> bool:
        """Whether it is in training mode."""
        ...

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Its parameters."""
        ...

    def named_modules(self) -> Iterator[tuple[str, nn.Module]]:
        """Its modules by dotted name, itself first under the empty name."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Its weights."""
        ...

    def log(self, name: str, value: Any, **options: Any) -> None:
        """Log a metric as the module would."""
        ...

    def log_dict(self, dictionary: Mapping[str, Any], **options: Any) -> None:
        """Log several metrics as the module would."""
        ...
