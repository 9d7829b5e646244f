"""How far a run has come."""

from __future__ import annotations

from dataclasses import dataclass

from fulmen_core.trainer.properties._base import TrainerBase
from fulmen_interfaces import (
    ModuleError,
    RunningStage,
    RunStatus,
    Stage,
)


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
        """Set it to end training after this batch, once the least that was asked for is done.

        Of several ranks, one is enough: all end after the same batch, this one or one of the next.
        """
        control = None if self._session is None else self._session.parts.control
        return control is not None and (control.should_stop or control.asked)

    @should_stop.setter
    def should_stop(self, stop: bool) -> None:
        if self._session is None:
            raise ModuleError("`trainer.should_stop` was set, but nothing runs. Set it in a hook or a step.")
        self._session.parts.control.ask(stop)

    def stop_for_now(self) -> None:
        """End training as `should_stop` does, but let who goes on from a checkpoint train on. Call it on all ranks."""
        if self._session is None:
            raise ModuleError("`trainer.stop_for_now` was called, but nothing runs. Call it in a hook or a step.")
        self._session.parts.control.ask(True, for_now=True)

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
