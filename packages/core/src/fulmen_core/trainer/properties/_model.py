"""The model of a run, its optimizers and the callbacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fulmen_core.trainer.properties._base import TrainerBase
from fulmen_interfaces import (
    Callback,
    CallbackRole,
    GradScaler,
    LRSchedulerConfig,
    ModuleError,
    SupportsLossScaling,
)

if TYPE_CHECKING:
    from torch.optim import Optimizer


class ModelProperties(TrainerBase):
    """The model, its optimizers and the callbacks."""

    @property
    def lightning_module(self) -> Any:
        """The module of the run."""
        return None if self._session is None else self._session.parts.module

    @property
    def model(self) -> Any:
        """The module as the strategy calls it to train; until that has prepared it, the module itself."""
        engine = self._engine
        if engine is None or engine.prepared.training_module is engine.entry:
            return self.lightning_module
        return engine.prepared.training_module

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """The optimizers of the run; none until they are made."""
        return [] if self._engine is None else list(self._engine.prepared.optimizers)

    @optimizers.setter
    def optimizers(self, optimizers: Sequence[Optimizer]) -> None:
        raise ModuleError(
            "`trainer.optimizers` was set, but the run holds on to the optimizers that the strategy made ready. Return "
            "others from `configure_optimizers`, or change `param_groups` of those that there are."
        )

    @property
    def scaler(self) -> GradScaler | None:
        """What scales the loss; None where nothing does, or where the strategy's own library does it."""
        prepared = None if self._engine is None else self._engine.prepared
        return prepared.scaler if isinstance(prepared, SupportsLossScaling) else None

    @property
    def lr_scheduler_configs(self) -> Sequence[LRSchedulerConfig]:
        """The schedulers of the run; none until they are made."""
        return [] if self._engine is None else list(self._engine.scheduler_configs)

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
