"""Callbacks: behaviour beside the module, chosen per run."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from typing import Any, ClassVar, Protocol, SupportsFloat, runtime_checkable

from fulmen_interfaces._rank import rank_zero_warn


class CallbackOrder(IntEnum):
    """When a callback is called, relative to the others and to the module."""

    TUNER = 0
    """First: it may change what all others see."""
    NORMAL = 1
    """In the order given by the user, before the module."""
    MONITOR = 2
    """After the module: it watches what was logged."""
    CHECKPOINT = 3
    """Last: it records what all others did."""


class CallbackRole(str, Enum):
    """Parts of which a run wants at least, or at most, one."""

    CHECKPOINT = "checkpoint"
    PROGRESS_BAR = "progress_bar"
    MODEL_SUMMARY = "model_summary"
    EARLY_STOPPING = "early_stopping"
    TIMER = "timer"


class LogsValues(Protocol):
    """Where a callback's values go: the module of the run."""

    def log(self, name: str, value: Any, *args: Any, **kwargs: Any) -> None:
        """Log one value."""
        ...

    def log_dict(self, dictionary: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        """Log several values."""
        ...


class Callback:
    """Base of all callbacks: every hook does nothing, and an unused hook costs nothing.

    The drawing in `fulmen_interfaces._hooks` shows when each is called. Hooks run on every rank. The first two
    arguments are the trainer and the module; plugins annotate them as `TrainerView` and `ModuleView`, applications as
    their own Trainer and module, which is why they are `Any` here.
    """

    order: ClassVar[CallbackOrder] = CallbackOrder.NORMAL
    """When it is called, relative to the others."""
    role: ClassVar[CallbackRole | None] = None
    """The part it plays, where it is of a kind of which a run has a default."""
    _logs_through: LogsValues | None = None

    def log(self, name: str, value: Any, *args: Any, **kwargs: Any) -> None:
        """Log as `pl_module.log` does in the same hook; the arguments are those of `LightningModule.log`."""
        if self._logs_through is None:
            rank_zero_warn(f"`self.log({name!r}, ...)` was called outside of a run and had no effect.")
        else:
            self._logs_through.log(name, value, *args, **kwargs)

    def log_dict(self, dictionary: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        """Log several values at once: a mapping or a torchmetrics collection; the rest is as for `log`."""
        if self._logs_through is None:
            rank_zero_warn("`self.log_dict(...)` was called outside of a run and had no effect.")
        else:
            self._logs_through.log_dict(dictionary, *args, **kwargs)

    def log_through(self, module: LogsValues | None) -> None:
        """Log through this module from now on. Called when a run begins, and with None when it ends."""
        self._logs_through = module

    @property
    def state_key(self) -> str:
        """Name of its state in checkpoints; override it where several of one class are used together."""
        return type(self).__qualname__

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold of it: tensors and plain values."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Begin `fit`, `validate`, `test` or `predict` (the stage); data is set up, nothing is placed yet."""

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """End that stage, also after errors."""

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin fitting: the model is placed and has its optimizers."""

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """End fitting."""

    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin the few validation batches that run before training."""

    def on_sanity_check_end(self, trainer: Any, pl_module: Any) -> None:
        """End the sanity check."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin training, after the sanity check."""

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """End training."""

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin an epoch."""

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """End an epoch, after its validation; epoch metrics are complete."""

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Begin a batch, which is on the device."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End a batch; `outputs` is what the step returned, its loss detached."""

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin validation."""

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """End validation."""

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin the pass over the validation data."""

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """End the pass over the validation data."""

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Begin a validation batch."""

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """End a validation batch."""

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin test."""

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """End test."""

    def on_test_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin the pass over the test data."""

    def on_test_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """End the pass over the test data."""

    def on_test_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Begin a test batch."""

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """End a test batch."""

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin prediction."""

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        """End prediction."""

    def on_predict_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin the pass over the prediction data."""

    def on_predict_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """End the pass over the prediction data."""

    def on_predict_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Begin a prediction batch."""

    def on_predict_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """End a prediction batch."""

    def on_before_zero_grad(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Gradients are about to be cleared."""

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        """Gradients are about to be computed from `loss`."""

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        """Gradients are computed, scaled where the loss is."""

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """The optimizer is about to step; gradients are complete and unscaled, not yet clipped."""

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The run is ending because of `exception` (KeyboardInterrupt included)."""

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """A checkpoint is being put together; it may be changed in place."""

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """A checkpoint was read and is about to be restored; it may be changed in place."""


@runtime_checkable
class CheckpointCallback(Protocol):
    """A callback of the checkpoint role: where the words "best" and "last" lead."""

    @property
    def best_model_path(self) -> str:
        """The best checkpoint so far; empty where there is none."""
        ...

    @property
    def last_model_path(self) -> str:
        """The newest checkpoint that is kept as such; empty where there is none."""
        ...


@runtime_checkable
class RankedCheckpoints(CheckpointCallback, Protocol):
    """A checkpoint callback that keeps the best by a score."""

    monitor: str | None
    """The logged metric that is the score; None: the newest are the best."""
    mode: str
    """Which scores are better: `min` or `max`."""
    save_top_k: int
    """How many are kept; -1: all."""

    @property
    def best_k_models(self) -> Mapping[str, SupportsFloat]:
        """The paths of those that are kept, and their scores."""
        ...


@runtime_checkable
class SupportsFindingLast(Protocol):
    """A checkpoint callback that knows what earlier processes left: where the word "last" leads in a new process."""

    def find_last_checkpoints(self, trainer: Any) -> set[str]:
        """Return the paths of all checkpoints that were kept as the newest. Called on rank zero, before `setup`."""
        ...


@runtime_checkable
class ProgressBar(Protocol):
    """A callback of the progress-bar role."""

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print without tearing the bar."""
        ...

    def disable(self) -> None:
        """Show nothing from now on."""
        ...

    def enable(self) -> None:
        """Show again."""
        ...
