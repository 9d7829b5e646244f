"""The callback that writes checkpoints."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, Literal

import torch
from torch import Tensor

from fulmen_callbacks import _files
from fulmen_callbacks._checkpoint._folder import default_folder
from fulmen_callbacks._checkpoint._keeper import CheckpointKeeper
from fulmen_callbacks._checkpoint._schedule import SaveSchedule
from fulmen_callbacks._missing import missing_monitor
from fulmen_callbacks._problems import at_least, one_of, refuse
from fulmen_interfaces import (
    Every,
    ModuleView,
    Problem,
    RunningStage,
    TrainerView,
    rank_zero_warn,
)


class ModelCheckpoint(CheckpointKeeper):
    """Write checkpoints by a schedule, and keep the best or the newest.

    **Which stay.** With `monitor`, the `save_top_k` best by that logged metric (`mode` says which way is better);
    without, the newest. `save_top_k=-1` keeps all and 0 none. `save_last=True` writes `last.ckpt` beside each, and
    `"link"` makes it a link. A file that this callback did not write is neither overwritten (its own get a counter:
    `-v1`) nor removed, and the one that the run began from stays as well.

    **When.** Every `every_n_epochs` epochs (the default, 1), every `every_n_train_steps` optimizer steps, or every
    `train_time_interval`; or `every` amount with a unit: "500 steps", "2 epochs", "10000 samples", "25 %" (of an
    epoch), "30 min". With `save_on_exception` also when the run ends with an error. Epochs count at the end of
    training if each validates once at its end, and at the end of each validation otherwise; `save_on_train_epoch_end`
    decides it otherwise. A save by steps or time whose metric is not there yet waits for the end of validation.

    **Where.** In `dirpath`, by default beside the first logger's files. `filename` may hold metrics with a format:
    `"{epoch:02d}-{val_loss:.2f}"` becomes `epoch=02-val_loss=0.32.ckpt`, or `02-0.32.ckpt` without
    `auto_insert_metric_name`.

    All ranks call it; rank zero alone looks at files and decides.
    """

    def __init__(  # noqa: PLR0913 (the arguments that users know)
        self,
        dirpath: str | os.PathLike[str] | None = None,
        filename: str | None = None,
        monitor: str | None = None,
        verbose: bool = False,
        save_last: bool | Literal["link"] | None = None,
        save_top_k: int = 1,
        save_on_exception: bool = False,
        save_weights_only: bool = False,
        mode: str = "min",
        auto_insert_metric_name: bool = True,
        every_n_train_steps: int | None = None,
        train_time_interval: timedelta | None = None,
        every_n_epochs: int | None = None,
        save_on_train_epoch_end: bool | None = None,
        enable_version_counter: bool = True,
        every: str | Every | None = None,
    ) -> None:
        refuse(
            [
                one_of("mode", mode, ("min", "max")),
                one_of("save_last", save_last, (None, True, False, "link")),
                at_least("save_top_k", save_top_k, -1),
                _nothing_to_rank_by(monitor, save_top_k),
            ]
        )
        super().__init__(dirpath, filename, save_top_k=save_top_k, mode=mode)
        self.monitor = monitor
        self.verbose = verbose
        self.save_last = save_last
        self.save_on_exception = save_on_exception
        self.save_weights_only = save_weights_only
        self.auto_insert_metric_name = auto_insert_metric_name
        self.enable_version_counter = enable_version_counter
        self._schedule = SaveSchedule.of(
            every_n_train_steps, train_time_interval, every_n_epochs, every, save_on_train_epoch_end
        )
        self._steps_of_data: int | None = None
        self._watches_batches = self._schedule.watches_batches
        self._timer = self._schedule.timer()
        self._begin_run(fitting=False)

    @property
    def state_key(self) -> str:
        settings = {
            "monitor": self.monitor,
            "mode": self.mode,
            "every_n_train_steps": self._schedule.every_n_train_steps,
            "every_n_epochs": self._schedule.every_n_epochs,
            "train_time_interval": self._schedule.train_time_interval,
        }
        if self._schedule.data is not None:
            settings["every"] = str(self._schedule.data)
        return f"{type(self).__qualname__}{settings!r}"

    @property
    def schedule(self) -> Every | None:
        """The interval between saves; None where there is none, and it saves at the end alone."""
        return self._schedule.every

    @property
    def epochs_end_with_training(self) -> bool | None:
        """Whether epochs count at the end of training, rather than of validation; None: as the run validates."""
        return self._schedule.on_train_epoch_end

    @property
    def every_n_epochs(self) -> int:
        """Epochs between saves; 0 where another clock decides."""
        return self._schedule.every_n_epochs

    def setup(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        self._begin_run(fitting=stage == "fit")
        if not self._fitting:
            return
        folder = (self.dirpath or default_folder(trainer)) if trainer.is_global_zero else ""
        self.dirpath = trainer.collectives.broadcast(folder)
        resumes_here = trainer.ckpt_path is not None and _files.is_within(trainer.ckpt_path, self.dirpath)
        if trainer.is_global_zero and self.save_top_k != 0 and not resumes_here and _files.names(self.dirpath):
            rank_zero_warn(f"The checkpoint directory {self.dirpath} is not empty; what is there stays.")

    def on_train_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if self._timer is not None:
            self._timer.restart()
        data = self._schedule.data
        if data is not None:
            self._steps_of_data = trainer.steps_between(data, "every")

    def on_train_batch_end(
        self, trainer: TrainerView, pl_module: ModuleView, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not self._watches_batches or not self._batch_is_due(trainer) or self._skips(trainer):
            return
        metrics = self._metrics(trainer)
        if self._must_wait(trainer, metrics):
            self._waiting = True
            return
        self._save_best(trainer, metrics)
        self._save_last(trainer, metrics)

    def on_validation_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if trainer.running_stage is RunningStage.SANITY_CHECKING:
            return
        self._validated = True
        if self._skips(trainer) or self._schedule.at_train_epoch_end(trainer):
            return
        if not self._waiting:
            self._end_epoch(trainer)
            return
        self._waiting = False
        metrics = self._metrics(trainer)
        self._save_best(trainer, metrics)
        self._save_last(trainer, metrics)

    def on_train_epoch_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if not self._skips(trainer) and self._schedule.at_train_epoch_end(trainer):
            self._end_epoch(trainer)

    def on_train_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if self._saved_path or self._skips(trainer):
            return
        metrics = self._metrics(trainer)
        if self._waiting and self.monitor not in metrics:
            rank_zero_warn(f"ModelCheckpoint saved nothing: {missing_monitor(self.monitor, metrics)}")
        self._save_last(trainer, metrics)

    def on_exception(self, trainer: TrainerView, pl_module: ModuleView, exception: BaseException) -> None:
        if not self.save_on_exception or self._skips(trainer):
            return
        metrics = self._metrics(trainer)
        self._save_checkpoint(trainer, self._agreed_path(trainer, metrics, self.filename))
        self._save_last(trainer, metrics)

    def state_dict(self) -> dict[str, Any]:
        return {
            "monitor": self.monitor,
            "best_model_score": self.best_model_score,
            "best_model_path": self.best_model_path,
            "current_score": self.current_score,
            "dirpath": self.dirpath,
            "best_k_models": dict(self.best_k_models),
            "kth_best_model_path": self.kth_best_model_path,
            "kth_value": self.kth_value,
            "last_model_path": self.last_model_path,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_model_path = state_dict["best_model_path"]
        if self.dirpath != state_dict.get("dirpath", self.dirpath):
            rank_zero_warn(
                f"Checkpoints go to {self.dirpath!r} now and went to {state_dict['dirpath']!r} before: the files there "
                "stay, and ranking begins anew. To go on with the old directory, pass it as `dirpath`."
            )
            return
        self.best_model_score = state_dict["best_model_score"]
        self.current_score = state_dict.get("current_score")
        self.last_model_path = state_dict.get("last_model_path", self.last_model_path)
        self._ranking.restore(state_dict.get("best_k_models", {}), state_dict.get("kth_best_model_path", ""))

    def _begin_run(self, *, fitting: bool) -> None:
        self._fitting = fitting
        self._validated = False
        self._waiting = False
        """A save by steps or time waits for the metric that validation brings."""
        self._saved_step = 0
        self._saved_path = ""

    def _batch_is_due(self, trainer: TrainerView) -> bool:
        if self._schedule.step_is_due(trainer.global_step):
            return True
        if self._steps_of_data is not None:
            return trainer.logging_step % self._steps_of_data == 0
        if self._timer is None or not self._timer.has_passed(trainer):
            return False
        self._timer.restart()
        return True

    def _skips(self, trainer: TrainerView) -> bool:
        return not self._fitting or bool(trainer.fast_dev_run) or self._saved_step == trainer.global_step

    def _must_wait(self, trainer: TrainerView, metrics: dict[str, Tensor]) -> bool:
        """Whether the monitored metric is not there yet, or about to be replaced at the end of this epoch."""
        if self.monitor is None:
            return False
        validates_now = trainer.is_last_batch and trainer.val_check_due
        return self.monitor not in metrics or (validates_now and not self._schedule.at_train_epoch_end(trainer))

    def _end_epoch(self, trainer: TrainerView) -> None:
        if not self._schedule.epoch_is_due(trainer.current_epoch):
            return
        metrics = self._metrics(trainer)
        if self._save_best(trainer, metrics):
            self._save_last(trainer, metrics)

    def _metrics(self, trainer: TrainerView) -> dict[str, Tensor]:
        counters = {"epoch": torch.tensor(trainer.current_epoch), "step": torch.tensor(trainer.global_step)}
        return {**counters, **trainer.callback_metrics}

    def _save_best(self, trainer: TrainerView, metrics: dict[str, Tensor]) -> bool:
        """Write a checkpoint if it is one to keep; return whether it is."""
        if self.save_top_k == 0:
            return False
        if self.monitor is None:
            self._save_newest(trainer, metrics)
            return True
        if self.monitor in metrics:
            return self._save_if_admitted(trainer, metrics, self.monitor)
        problem = missing_monitor(self.monitor, metrics)
        if self._validated:  # nothing is to come any more that could bring it
            refuse([problem])
        rank_zero_warn(f"ModelCheckpoint does not save: {problem}")
        return False


def _nothing_to_rank_by(monitor: str | None, save_top_k: int) -> Problem | None:
    if monitor is not None or save_top_k < 2:
        return None
    reason = "There is no metric to say which are the best."
    return Problem("save_top_k", save_top_k, reason, "Pass `monitor`, or save_top_k=1 for the newest, or -1 for all.")
