"""Trainer: runs modules as its arguments say."""

from __future__ import annotations

import inspect
import math
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, ClassVar

from fulmen_core.checkpoint import TorchCheckpointIO
from fulmen_core.data import LightningDataModule
from fulmen_core.loop import Terminated
from fulmen_core.module import LightningModule
from fulmen_core.resolve import RunPlan
from fulmen_core.settings import TrainerSettings, configure, effective
from fulmen_core.snapshot import dump
from fulmen_core.trainer._components import make_callbacks, make_loggers, make_profiler
from fulmen_core.trainer._job import Job
from fulmen_core.trainer._places import checkpoint_path
from fulmen_core.trainer._properties import (
    DataProperties,
    HardwareProperties,
    MetricProperties,
    ModelProperties,
    ProgressProperties,
)
from fulmen_core.trainer._runs import run_evaluation, run_fit, run_prediction
from fulmen_core.trainer._session import Ingredients, Session
from fulmen_core.trainer._verify import verify
from fulmen_interfaces import ModuleError, Stage, default_catalogue

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fulmen_core.trainer._arguments import TrainerArguments

StrPath = str | PathLike[str]


class Trainer(ProgressProperties, MetricProperties, DataProperties, HardwareProperties, ModelProperties):
    """Trains, validates, tests and predicts with a `LightningModule`.

    All arguments are given by keyword; `help(TrainerSettings)` says what each means. They are checked, and every part of
    the run is chosen, when the Trainer is made: ConfigurationError tells all that is wrong at once.
    """

    __signature__: ClassVar[inspect.Signature] = inspect.Signature(
        [
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
            for field in fields(TrainerSettings)
        ]
    )

    def __init__(self, **arguments: Unpack[TrainerArguments]) -> None:
        catalogue = default_catalogue()
        self._settings, self._plan = configure(arguments, catalogue, interactive=_is_interactive())
        self._run_settings = effective(self._settings)
        self._session: Session | None = None
        self._strategy = self._plan.make_strategy()
        self._precision = self._plan.make_precision()
        self._launcher = self._plan.make_launcher()
        self._loggers = make_loggers(self._run_settings.logger, catalogue, self._run_settings.default_root_dir)
        self._callbacks = make_callbacks(self._settings, self._run_settings, catalogue)
        self._profiler = make_profiler(self._run_settings.profiler, catalogue)
        self._checkpoint_io = self._settings.checkpoint_io or TorchCheckpointIO()

    def fit(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        ckpt_path: StrPath | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train, with validation where the module and the data offer it.

        `ckpt_path` (a path, "last" or "best") goes on exactly where that checkpoint was saved. A second call trains anew,
        from the weights that the module has. On all ranks.
        """
        if isinstance(train_dataloaders, LightningDataModule):
            train_dataloaders, datamodule = None, train_dataloaders
        job = self._job(Stage.FIT, model, datamodule, val_dataloaders, ckpt_path, weights_only, train=train_dataloaders)
        with _exit_codes():
            self._launcher.launch(partial(run_fit, self._ingredients(), job), self._plan.launch_settings)

    def validate(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        ckpt_path: StrPath | None = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[dict[str, float]]:
        """Run the validation loop once; returns the logged values by loader. On all ranks.

        Without a model, that of the last run is taken, with its best checkpoint where `ckpt_path` says nothing else.
        """
        return self._evaluate(Stage.VALIDATE, model, dataloaders, ckpt_path, verbose, datamodule, weights_only)

    def test(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        ckpt_path: StrPath | None = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[dict[str, float]]:
        """Run the test loop once; otherwise like `validate`."""
        return self._evaluate(Stage.TEST, model, dataloaders, ckpt_path, verbose, datamodule, weights_only)

    def predict(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        return_predictions: bool | None = None,
        ckpt_path: StrPath | None = None,
        weights_only: bool | None = None,
    ) -> list[Any] | list[list[Any]] | None:
        """Return what `predict_step` returns for every batch; a list per loader where there are several. On all ranks.

        With `return_predictions=False` nothing is kept in memory and None is returned.
        """
        model, ckpt_path = self._model_or_last(model, ckpt_path)
        if isinstance(dataloaders, LightningDataModule):
            dataloaders, datamodule = None, dataloaders
        job = self._job(
            Stage.PREDICT, model, datamodule, dataloaders, ckpt_path, weights_only, keep=return_predictions is not False
        )
        with _exit_codes():
            return self._launcher.launch(partial(run_prediction, self._ingredients(), job), self._plan.launch_settings)

    def save_checkpoint(self, filepath: StrPath, weights_only: bool | None = None, storage_options: Any = None) -> None:
        """Write a checkpoint of the run as it stands. Call it on every rank; rank zero writes."""
        engine = self._engine("save_checkpoint")
        checkpoint = dump(engine, self._fit, weights_only=bool(weights_only))
        if engine.world.is_global_zero:
            self._checkpoint_io.save(checkpoint, fspath(filepath), storage_options=storage_options)
        engine.collectives.barrier("save_checkpoint")

    def remove_checkpoint(self, filepath: StrPath) -> None:
        """Remove a checkpoint. Call it on every rank; rank zero removes."""
        if self.is_global_zero:
            self._checkpoint_io.remove(fspath(filepath))

    def plan(self) -> RunPlan:
        """Print which parts the runs of this Trainer are made of, and return it."""
        if self.is_global_zero:
            print(self._plan)  # noqa: T201
        return self._plan

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on rank zero, without tearing a progress bar."""
        if self._session is None:
            print(*args, **kwargs)  # noqa: T201
        else:
            self._session.link.print(*args, **kwargs)

    @property
    def estimated_stepping_batches(self) -> int | float:
        """Optimizer steps of the whole fit, as far as they can be foreseen; loads the training data if need be."""
        if self._session is None:
            raise ModuleError("`trainer.estimated_stepping_batches` is known during `fit`, for example in `configure_optimizers`.")
        settings = self._run_settings
        batches = self._session.data.training().num_batches
        if settings.max_epochs == -1 or batches == math.inf:
            return math.inf if settings.max_steps == -1 else settings.max_steps
        steps = math.ceil(batches / self.accumulate_grad_batches) * settings.max_epochs
        return steps if settings.max_steps == -1 else min(steps, settings.max_steps)

    def _evaluate(
        self,
        stage: Stage,
        model: LightningModule | None,
        dataloaders: Any,
        ckpt_path: StrPath | None,
        verbose: bool,
        datamodule: LightningDataModule | None,
        weights_only: bool | None,
    ) -> list[dict[str, float]]:
        model, ckpt_path = self._model_or_last(model, ckpt_path)
        if isinstance(dataloaders, LightningDataModule):
            dataloaders, datamodule = None, dataloaders
        job = self._job(stage, model, datamodule, dataloaders, ckpt_path, weights_only, verbose=verbose)
        with _exit_codes():
            return self._launcher.launch(partial(run_evaluation, self._ingredients(), job), self._plan.launch_settings)

    def _model_or_last(self, model: LightningModule | None, ckpt_path: StrPath | None) -> tuple[LightningModule, StrPath | None]:
        if model is not None:
            return model, ckpt_path
        if self._session is None:
            raise ModuleError("No model was given, and there is none from an earlier run. Pass `model`.")
        last = self._session.parts.module
        return last, "best" if ckpt_path is None and self.checkpoint_callback is not None else ckpt_path

    def _job(
        self,
        stage: Stage,
        model: LightningModule,
        datamodule: LightningDataModule | None,
        dataloaders: Any,
        ckpt_path: StrPath | None,
        weights_only: bool | None,
        *,
        train: Any = None,
        verbose: bool = True,
        keep: bool = True,
    ) -> Job:
        """Return the job, checked."""
        if not isinstance(model, LightningModule):
            raise ModuleError(
                f"`Trainer.{stage}` was given a {type(model).__name__}, but needs a `LightningModule` of fulmen. "
                "Derive your module from `fulmen.LightningModule`."
            )
        if datamodule is not None and (train is not None or dataloaders is not None):
            raise ModuleError(f"`Trainer.{stage}` was given loaders and a data module. Give one of them.")
        path = checkpoint_path(ckpt_path, self.callbacks, stage)
        job = Job(stage, model, datamodule, train, dataloaders, path, weights_only, verbose, keep)
        verify(job, self._run_settings)
        return job

    def _ingredients(self) -> Ingredients:
        return Ingredients(
            trainer=self,
            plan=self._plan,
            settings=self._run_settings,
            strategy=self._strategy,
            precision=self._precision,
            callbacks=self._callbacks,
            loggers=self._loggers,
            profiler=self._profiler,
            checkpoint_io=self._checkpoint_io,
            adopt=self._adopt,
        )

    def _adopt(self, session: Session) -> None:
        last = self._session
        if last is not None and session.job.stage is not Stage.FIT:
            session.parts.progress = last.parts.progress  # an evaluation counts on where the fit ended
        self._session = session
        if session.job.datamodule is not None:
            session.job.datamodule.trainer = self


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Let Ctrl-C end a program with the code that shells expect; at a prompt it stays an interruption."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if _is_interactive():
            raise
        raise Terminated(signal.SIGINT) from interrupt


def _is_interactive() -> bool:
    """Return whether this is a notebook or a prompt, where no script can be run again."""
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules


