"""The tuner as callbacks: learning rate and batch size are found before each run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from fulmen_core import LightningModule, Trainer
from fulmen_interfaces import Callback, CallbackOrder, ModuleError, TrainerView
from fulmen_tuner._curve import LearningRateCurve
from fulmen_tuner._sizes import SizeMode
from fulmen_tuner._sweep import Mode, set_rate
from fulmen_tuner._tuner import Tuner


class LearningRateFinder(Callback):
    """Finds a learning rate before each fit; not where a fit goes on from a checkpoint, which holds its own.

    The search takes place before the run begins, so that `configure_optimizers` sees what was found. Its arguments are
    those of `Tuner.lr_find`, `num_training_steps` being `num_training`.

    A subclass that overrides `on_fit_start` chooses the moments itself, and calls `lr_find` in them.
    """

    order: ClassVar[CallbackOrder] = CallbackOrder.TUNER

    def __init__(
        self,
        min_lr: float = 1e-8,
        max_lr: float = 1,
        num_training_steps: int = 100,
        mode: Mode = "exponential",
        early_stop_threshold: float | None = 4.0,
        update_attr: bool = True,
        attr_name: str = "",
    ) -> None:
        self._options: dict[str, Any] = {
            "min_lr": min_lr,
            "max_lr": max_lr,
            "num_training": num_training_steps,
            "mode": mode,
            "early_stop_threshold": early_stop_threshold,
            "update_attr": update_attr,
            "attr_name": attr_name,
        }
        self._asked = False
        self.optimal_lr: LearningRateCurve | None = None
        """What the last search found."""

    def tune(self, trainer: Trainer, pl_module: LightningModule, stage: str, data: Mapping[str, Any]) -> None:
        """Search, where a fit is to begin."""
        self._asked = True
        if stage == "fit" and type(self).on_fit_start is LearningRateFinder.on_fit_start:
            self.optimal_lr = Tuner(trainer).lr_find(pl_module, **data, **self._options)

    def lr_find(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search in the middle of a fit, whose optimizer goes on with the rate that is found.

        The search begins with the weights of now; weights, data and counters of the fit stay as they are.
        """
        loader = trainer.train_dataloader  # None until training begins
        data = {"datamodule": trainer.datamodule} if loader is None else {"train_dataloaders": loader}
        self.optimal_lr = Tuner(trainer).lr_find(pl_module, **data, **self._options)
        suggested = None if self.optimal_lr is None else self.optimal_lr.suggestion()
        if suggested is not None and self._options["update_attr"]:
            for optimizer in trainer.optimizers:
                set_rate(optimizer, suggested)

    def on_fit_start(self, trainer: TrainerView, pl_module: object) -> None:
        """See that the search had its turn."""
        _check_asked(self, trainer, asked=self._asked)


class BatchSizeFinder(Callback):
    """Finds the largest batch size before each run; not where a fit goes on from a checkpoint.

    The search takes place before the run begins, so that loaders are made with what was found. Its arguments are those
    of `Tuner.scale_batch_size`.

    A subclass that overrides `on_fit_start` chooses the moments of a fit itself, and calls `scale_batch_size` in them.
    """

    order: ClassVar[CallbackOrder] = CallbackOrder.TUNER

    def __init__(
        self,
        mode: SizeMode = "power",
        steps_per_trial: int = 3,
        init_val: int = 2,
        max_trials: int = 25,
        batch_arg_name: str = "batch_size",
        margin: float = 0.05,
        max_val: int = 8192,
    ) -> None:
        self._options = {
            "mode": mode,
            "steps_per_trial": steps_per_trial,
            "init_val": init_val,
            "max_trials": max_trials,
            "batch_arg_name": batch_arg_name,
            "margin": margin,
            "max_val": max_val,
        }
        self._asked = False
        self.optimal_batch_size: int | None = None
        """What the last search found."""

    def tune(self, trainer: Trainer, pl_module: LightningModule, stage: str, data: Mapping[str, Any]) -> None:
        """Search."""
        self._asked = True
        if stage != "fit" or type(self).on_fit_start is BatchSizeFinder.on_fit_start:
            self._search(trainer, pl_module, stage, data)

    def scale_batch_size(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search in the middle of a run. Loaders that are made from then on have the size that is found.

        These are the next run's, or the next epoch's with `Trainer(reload_dataloaders_every_n_epochs=1)`.
        """
        stage = trainer.state.fn
        if stage is not None:
            self._search(trainer, pl_module, stage.value, {"datamodule": trainer.datamodule})

    def _search(self, trainer: Trainer, pl_module: LightningModule, stage: str, data: Mapping[str, Any]) -> None:
        options: dict[str, Any] = {**self._options, "method": stage}
        self.optimal_batch_size = Tuner(trainer).scale_batch_size(pl_module, **data, **options)

    def on_fit_start(self, trainer: TrainerView, pl_module: object) -> None:
        """See that the search had its turn."""
        _check_asked(self, trainer, asked=self._asked)


def _check_asked(finder: Callback, trainer: TrainerView, *, asked: bool) -> None:
    if not asked and trainer.ckpt_path is None:
        name = type(finder).__name__
        raise ModuleError(
            f"{name} searches before a run begins, but it came to this one too late: through `configure_callbacks`, or "
            f"within a trial run. Pass it to the trainer instead: Trainer(callbacks=[{name}()])."
        )
