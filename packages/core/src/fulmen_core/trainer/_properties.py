"""The trainer's properties, by theme: what the present run shows, or the last one where none is under way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch

from fulmen_interfaces import (
    Accelerator,
    Callback,
    CallbackRole,
    Collectives,
    Logger,
    LRSchedulerConfig,
    ModuleError,
    Precision,
    Profiler,
    RunningStage,
    RunStatus,
    SingleProcessCollectives,
    Stage,
    Strategy,
    World,
)

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from fulmen_core.loop import Engine, Fit
    from fulmen_core.trainer._runner import Runner
    from fulmen_core.trainer._session import Session


@dataclass(frozen=True)
class TrainerState:
    """What the trainer was asked, what it is doing, and how that stands."""

    fn: Stage | None
    stage: RunningStage | None
    status: RunStatus

    @property
    def finished(self) -> bool:
        """Whether the last run ended well."""
        return self.status is RunStatus.FINISHED


class TrainerBase:
    """What the properties read: choices made once, and the session of the present or last run."""

    _runner: Runner

    @property
    def _session(self) -> Session | None:
        return self._runner.session

    @property
    def _fit(self) -> Fit | None:
        return None if self._session is None else self._session.fit

    def _engine(self, wanted: str) -> Engine:
        if self._session is None or self._session.engine is None:
            raise ModuleError(f"`trainer.{wanted}` is known from the time on at which a model is prepared for a run.")
        return self._session.engine


class ProgressProperties(TrainerBase):
    """How far the run has come."""

    @property
    def current_epoch(self) -> int:
        """The epoch that is running, from 0; after the last, the number of epochs run."""
        return 0 if self._session is None else self._session.parts.progress.epoch

    @property
    def global_step(self) -> int:
        """Steps of all optimizers so far."""
        return 0 if self._session is None else self._session.parts.progress.global_step

    @property
    def logging_step(self) -> int:
        """The number under which step metrics are written now: training batches that stepped an optimizer so far."""
        return 0 if self._session is None else self._session.parts.progress.stepped_batches

    @property
    def is_last_batch(self) -> bool:
        """Whether the present training batch ends the epoch."""
        return self._session is not None and self._session.parts.progress.is_last_batch

    @property
    def max_epochs(self) -> int:
        """Epochs after which training ends; -1: never."""
        return self._runner.settings.max_epochs

    @property
    def min_epochs(self) -> int:
        """Epochs before which training does not end early."""
        return self._runner.settings.min_epochs

    @property
    def max_steps(self) -> int:
        """Optimizer steps after which training ends; -1: never."""
        return self._runner.settings.max_steps

    @property
    def min_steps(self) -> int | None:
        """Optimizer steps before which training does not end early."""
        return self._runner.settings.min_steps

    @property
    def should_stop(self) -> bool:
        """Set it to end training after this batch, once the least that was asked for is done."""
        return self._session is not None and self._session.parts.control.should_stop

    @should_stop.setter
    def should_stop(self, stop: bool) -> None:
        if self._session is None:
            raise ModuleError("`trainer.should_stop` was set, but nothing runs. Set it in a hook or a step.")
        self._session.parts.control.should_stop = stop

    @property
    def running_stage(self) -> RunningStage | None:
        """What is being done; None between runs."""
        return None if self._session is None else self._session.parts.control.stage

    @property
    def state(self) -> TrainerState:
        """What was asked, what is being done, and how that stands."""
        if self._session is None:
            return TrainerState(None, None, RunStatus.INITIALIZING)
        return TrainerState(self._session.job.stage, self.running_stage, self._session.status)

    @property
    def training(self) -> bool:
        """Whether training batches are being worked on."""
        return self.running_stage is RunningStage.TRAINING

    @property
    def validating(self) -> bool:
        """Whether validation runs, the sanity check left out."""
        return self.running_stage is RunningStage.VALIDATING

    @property
    def testing(self) -> bool:
        """Whether a test runs."""
        return self.running_stage is RunningStage.TESTING

    @property
    def predicting(self) -> bool:
        """Whether predictions are made."""
        return self.running_stage is RunningStage.PREDICTING

    @property
    def sanity_checking(self) -> bool:
        """Whether the sanity check runs."""
        return self.running_stage is RunningStage.SANITY_CHECKING

    @property
    def evaluating(self) -> bool:
        """Whether weights are only read, and metrics collected."""
        return self.running_stage is not None and self.running_stage.evaluating

    @property
    def interrupted(self) -> bool:
        """Whether an error or a signal ended the last run."""
        return self.state.status in (RunStatus.INTERRUPTED, RunStatus.FAILED)

    @property
    def received_sigterm(self) -> bool:
        """Whether SIGTERM or SIGINT came during the run."""
        return self._session is not None and self._session.parts.signals.received is not None


class MetricProperties(TrainerBase):
    """What was logged, and where it goes."""

    @property
    def callback_metrics(self) -> dict[str, Tensor]:
        """The newest value of every logged metric."""
        if self._session is None:
            return {}
        return self._session.parts.results.callback_metrics(self._session.parts.recorder.training)

    @property
    def logged_metrics(self) -> dict[str, Tensor]:
        """The newest value of every metric that goes to loggers, by the key under which it does."""
        if self._session is None:
            return {}
        recorder = self._session.parts.recorder
        return self._session.parts.results.logged_metrics(recorder.training, recorder.evaluation)

    @property
    def progress_bar_metrics(self) -> dict[str, float]:
        """The newest values of metrics logged with `prog_bar=True`; reading them waits for the device."""
        if self._session is None:
            return {}
        recorder = self._session.parts.recorder
        return self._session.parts.results.progress_bar_metrics(recorder.training, recorder.evaluation)

    @property
    def loggers(self) -> list[Logger]:
        """All loggers."""
        return self._runner.parts.loggers

    @loggers.setter
    def loggers(self, loggers: Sequence[Logger] | None) -> None:
        self._runner.parts.loggers[:] = loggers or ()

    @property
    def logger(self) -> Logger | None:
        """The first logger, if any."""
        return next(iter(self.loggers), None)

    @logger.setter
    def logger(self, logger: Logger | None) -> None:
        self.loggers = [] if logger is None else [logger]

    @property
    def profiler(self) -> Profiler | None:
        """What measures where the time goes, if anything."""
        return self._runner.parts.profiler

    @property
    def log_dir(self) -> str | None:
        """Directory of the first logger, or the default root; the same on every rank."""
        first = self.logger
        path = self.default_root_dir if first is None else first.log_dir or first.save_dir
        return path if self._session is None else self._session.parts.collectives.broadcast(path)

    @property
    def default_root_dir(self) -> str:
        """Where files go if nothing else is said."""
        return self._runner.settings.default_root_dir

    @property
    def log_every_n_steps(self) -> int:
        """Optimizer steps between writes of step metrics."""
        return self._runner.settings.log_every_n_steps


class DataProperties(TrainerBase):
    """The run's data: what it came from, and how much there is."""

    @property
    def datamodule(self) -> Any:
        """The data module of the run, if any."""
        return None if self._session is None else self._session.job.datamodule

    @property
    def train_dataloader(self) -> Any:
        """What the training data came from."""
        return None if self._session is None else self._session.data.train_loader

    @property
    def val_dataloaders(self) -> Any:
        """What the validation data came from."""
        return None if self._session is None else self._session.data.loaders_of(Stage.VALIDATE)

    @property
    def test_dataloaders(self) -> Any:
        """What the test data came from."""
        return None if self._session is None else self._session.data.loaders_of(Stage.TEST)

    @property
    def predict_dataloaders(self) -> Any:
        """What the data for predictions came from."""
        return None if self._session is None else self._session.data.loaders_of(Stage.PREDICT)

    @property
    def predict_batch_indices(self) -> Sequence[int] | None:
        """Positions of the present batch's samples in the data set predicted on.

        None where the loader does not tell them, and where no callback of the run is a `ReadsPredictionIndices`.
        """
        return None if self._session is None else self._session.data.predicted_indices

    @property
    def num_training_batches(self) -> int | float:
        """Training batches of an epoch on this rank; infinity where the data does not tell."""
        return 0 if self._session is None else self._session.data.num_training_batches

    @property
    def num_sanity_val_batches(self) -> list[int | float]:
        """Batches of the sanity check, by loader."""
        steps = self._runner.settings.num_sanity_val_steps
        return [min(steps, count) for count in self.num_val_batches]

    @property
    def num_val_batches(self) -> list[int | float]:
        """Validation batches, by loader."""
        return [] if self._session is None else self._session.data.num_batches_of(Stage.VALIDATE)

    @property
    def num_test_batches(self) -> list[int | float]:
        """Test batches, by loader."""
        return [] if self._session is None else self._session.data.num_batches_of(Stage.TEST)

    @property
    def num_predict_batches(self) -> list[int | float]:
        """Prediction batches, by loader."""
        return [] if self._session is None else self._session.data.num_batches_of(Stage.PREDICT)

    @property
    def accumulate_grad_batches(self) -> int:
        """Batches of a full accumulation window. During a fit it may be set where no window is open."""
        return self._runner.settings.accumulate_grad_batches if self._fit is None else self._fit.window.size

    @accumulate_grad_batches.setter
    def accumulate_grad_batches(self, batches: int) -> None:
        self._runner.accumulate(batches)

    @property
    def enable_validation(self) -> bool:
        """Whether the present fit validates at all."""
        return self._session is not None and self._session.data.validates

    @property
    def check_val_every_n_epoch(self) -> int | None:
        """Epochs between validations; None where batches are counted across epochs."""
        return self._runner.settings.check_val_every_n_epoch

    @property
    def val_check_interval(self) -> int | float | timedelta:
        """Share of an epoch, training batches, or time between validations."""
        return self._runner.settings.val_check_interval

    @property
    def val_check_due(self) -> bool:
        """Whether validation will run right after the present training batch."""
        return self._fit is not None and self._fit.validation_is_due


class HardwareProperties(TrainerBase):
    """Where the run takes place."""

    @property
    def strategy(self) -> Strategy:
        """How training is spread over devices."""
        return self._runner.parts.strategy

    @property
    def accelerator(self) -> Accelerator:
        """The family of devices."""
        return self._runner.plan.make_accelerator() if self._session is None else self._session.parts.accelerator

    @property
    def precision(self) -> str:
        """The numeric precision, by its canonical name."""
        return self._runner.plan.precision_spec.policy.name

    @property
    def precision_plugin(self) -> Precision:
        """The numeric precision as an object."""
        return self._runner.parts.precision

    @property
    def world(self) -> World:
        """The place of this process among all."""
        return World() if self._session is None else self._session.parts.world

    @property
    def collectives(self) -> Collectives:
        """How the processes speak to each other."""
        return SingleProcessCollectives() if self._session is None else self._session.parts.collectives

    @property
    def root_device(self) -> torch.device:
        """The device of this process."""
        return torch.device("cpu") if self._session is None else self._session.parts.device

    @property
    def global_rank(self) -> int:
        """This process among all."""
        return self.world.rank

    @property
    def local_rank(self) -> int:
        """This process among those of its machine."""
        return self.world.local_rank

    @property
    def node_rank(self) -> int:
        """This machine among all."""
        return self.world.node_rank

    @property
    def world_size(self) -> int:
        """Processes of the run."""
        return self._runner.plan.world_size

    @property
    def num_nodes(self) -> int:
        """Machines of the run."""
        return self._runner.plan.num_nodes

    @property
    def num_devices(self) -> int:
        """Devices of this machine that the run uses."""
        return len(self._runner.plan.devices)

    @property
    def device_ids(self) -> list[int]:
        """Indices of the devices of this machine that the run uses."""
        return list(self._runner.plan.devices)

    @property
    def is_global_zero(self) -> bool:
        """Whether this process writes and prints."""
        return self.world.is_global_zero


class ModelProperties(TrainerBase):
    """The model, its optimizers and the callbacks."""

    @property
    def lightning_module(self) -> Any:
        """The module of the run."""
        return None if self._session is None else self._session.parts.module

    @property
    def model(self) -> Any:
        """The module as the strategy calls it to train."""
        engine = self._engine("model")
        wrapped = engine.prepared.training_module
        return engine.module if wrapped is engine.entry else wrapped

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """The optimizers of the run."""
        return list(self._engine("optimizers").prepared.optimizers)

    @property
    def lr_scheduler_configs(self) -> Sequence[LRSchedulerConfig]:
        """The schedulers of the run."""
        return list(self._engine("lr_scheduler_configs").scheduler_configs)

    @property
    def callbacks(self) -> list[Callback]:
        """The callbacks. Assign a list to have others from the next run on; before the first, append to this one.

        From the first run on they come in the order in which they are called, those of the module included.
        """
        return self._runner.parts.callbacks if self._session is None else list(self._session.parts.callbacks)

    @callbacks.setter
    def callbacks(self, callbacks: Sequence[Callback]) -> None:
        self._runner.parts.callbacks[:] = callbacks

    @property
    def checkpoint_callbacks(self) -> list[Callback]:
        """Callbacks that save checkpoints."""
        return self._of_role(CallbackRole.CHECKPOINT)

    @property
    def checkpoint_callback(self) -> Any:
        """The first callback that saves checkpoints, if any."""
        return next(iter(self.checkpoint_callbacks), None)

    @property
    def early_stopping_callbacks(self) -> list[Callback]:
        """Callbacks that end training early."""
        return self._of_role(CallbackRole.EARLY_STOPPING)

    @property
    def early_stopping_callback(self) -> Any:
        """The first callback that ends training early, if any."""
        return next(iter(self.early_stopping_callbacks), None)

    @property
    def progress_bar_callback(self) -> Any:
        """The callback that shows progress, if any."""
        return next(iter(self._of_role(CallbackRole.PROGRESS_BAR)), None)

    @property
    def ckpt_path(self) -> str | None:
        """The checkpoint that the present run was started from, if any."""
        return None if self._session is None else self._session.job.ckpt_path

    @property
    def fast_dev_run(self) -> int:
        """Batches of a trial run; 0 where this is none."""
        return self._runner.settings.fast_dev_run

    def _of_role(self, role: CallbackRole) -> list[Callback]:
        return [callback for callback in self.callbacks if callback.role is role]
