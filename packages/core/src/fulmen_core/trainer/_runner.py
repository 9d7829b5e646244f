"""What stands behind a Trainer: everything chosen when it was made, and the session of its present or last run."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from os import PathLike, fspath
from typing import Any

import torch
from torch import nn

from fulmen_core.checkpoint import TorchCheckpointIO
from fulmen_core.data import DataSource, LightningDataModule
from fulmen_core.logging import make_loggers
from fulmen_core.loop import Terminated, on_device
from fulmen_core.module import AttachedTrainer, LightningModule
from fulmen_core.random import Snapshot
from fulmen_core.resolver import RunPlan, is_interactive
from fulmen_core.settings import configure, effective
from fulmen_core.snapshot import dump, save_snapshot
from fulmen_core.trainer._components import make_callbacks, make_profiler
from fulmen_core.trainer._homecoming import Homecoming
from fulmen_core.trainer._job import Job
from fulmen_core.trainer._module_init import module_init
from fulmen_core.trainer._places import checkpoint_path
from fulmen_core.trainer._runs import run_evaluation, run_fit, run_prediction
from fulmen_core.trainer._session import Ingredients, Session
from fulmen_core.trainer._timetable import timetables
from fulmen_core.trainer._turn import let_tune
from fulmen_core.trainer._verify import verify
from fulmen_interfaces import (
    ConfigurationError,
    Every,
    ModuleError,
    Problem,
    RunStatus,
    SchedulesAccumulation,
    Stage,
    World,
    default_catalogue,
)

_RUNS = {
    Stage.FIT: run_fit,
    Stage.VALIDATE: run_evaluation,
    Stage.TEST: run_evaluation,
    Stage.PREDICT: run_prediction,
}


class Runner:
    """Runs jobs with the parts that a Trainer's arguments stand for."""

    def __init__(self, trainer: AttachedTrainer, arguments: Mapping[str, object]) -> None:
        catalogue = default_catalogue()
        settings, self.plan = configure(arguments, catalogue, interactive=is_interactive())
        self.asked = settings
        """What the arguments state; what that comes to are the settings."""
        self.settings = effective(settings)
        self.session: Session | None = None
        """The present or last run."""
        self.parts = Ingredients(
            trainer=trainer,
            plan=self.plan,
            settings=self.settings,
            strategy=self.plan.make_strategy(),
            precision=self.plan.make_precision(),
            callbacks=make_callbacks(settings, self.settings, catalogue),
            loggers=make_loggers(self.settings.logger, catalogue, self.settings.default_root_dir),
            profiler=make_profiler(self.settings.profiler, catalogue),
            checkpoint_io=settings.checkpoint_io or TorchCheckpointIO(),
            adopt=self._adopt,
        )
        self._launcher = self.plan.make_launcher()

    def job(
        self,
        stage: Stage,
        module: LightningModule | None,
        loaders: Mapping[str, Any],
        datamodule: LightningDataModule | None,
        ckpt_path: str | PathLike[str] | None,
        **options: Any,
    ) -> Job:
        """Return what is to be run, once everything it needs is there. `loaders` are those passed, by hook."""
        if module is None:
            module, ckpt_path = self._last_module(ckpt_path)
        _require_module(module, stage)
        source = DataSource.of(module, given=loaders, datamodule=datamodule, call=stage.value)
        path = checkpoint_path(ckpt_path, self.parts.callbacks)
        job = Job(stage=stage, module=module, source=source, ckpt_path=path, **options)
        verify(job, self.settings)
        let_tune(self.parts.trainer, self.parts.callbacks, job, loaders)
        return job

    def run(self, job: Job) -> Any:
        """Run a job in as many processes as the plan says, and return what it returned on rank zero."""
        work: Callable[[World], Any] = partial(_RUNS[job.stage], self.parts, job)
        if self.plan.launcher is not None:  # which may let another process do the work
            self._choose_versions()
            work = partial(self._work, job, os.getpid(), Snapshot.take())
        with _exit_codes():
            outcome = self._launcher.launch(work, self.plan.launch_settings)
        return outcome.bring(self.parts, job) if isinstance(outcome, Homecoming) else outcome

    def _choose_versions(self) -> list[str | int | None]:
        """Let loggers choose their version here, so that new processes do not each choose one; they remember it."""
        return [logger.version for logger in self.parts.loggers]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out earlier runs: processes that a run starts need not know of them."""
        return {**vars(self), "session": None}

    def _work(self, job: Job, home: int, random: Snapshot, world: World) -> Any:
        """Run a job as one of its processes. Where none is the caller's, the first here sends home what came of it.

        New processes draw what the caller would have drawn: they start with random states of their own.
        """
        if os.getpid() != home:
            random.take_over()
        result = _RUNS[job.stage](self.parts, job, world)
        if os.getpid() == home or self.session is None or not world.is_local_zero:
            return result
        return Homecoming.of(result, self.session)

    def save(self, path: str | PathLike[str], *, weights_only: bool, storage_options: Any) -> None:
        """Write a checkpoint of the present or last run. On every rank; rank zero writes, or each a part."""
        if self.session is None or self.session.engine is None:
            raise ModuleError(f"`save_checkpoint` was called, but {self._why_nothing_is_prepared()}")
        engine, fit = self.session.engine, self.session.fit

        def save() -> None:
            hook, engine.recorder.scope = engine.recorder.scope, None  # the hooks of saving cannot log
            checkpoint = dump(engine, fit, weights_only=weights_only)
            engine.recorder.scope = hook
            io = self.parts.checkpoint_io
            save_snapshot(engine, checkpoint, fspath(path), io, storage_options=storage_options)

        engine.profiled("save_checkpoint", save)()

    def _why_nothing_is_prepared(self) -> str:
        if self.plan.launcher is not None and self._launcher.interactive:
            return (
                f"under {self.plan.strategy_spec.name!r} models are prepared in processes of a run's own, which end "
                "with it. Call it within the run, as in the hook `on_train_end`, or let a ModelCheckpoint save."
            )
        return "no model was prepared yet. Call it during or after a run."

    def module_init(self, *, empty: bool) -> AbstractContextManager[None]:
        """Return a context for making modules: on the device, or in memory where processes have yet to be started."""
        if self.session is not None and self.session.status is RunStatus.RUNNING:
            device = self.session.parts.device
        elif self.plan.launcher is not None:
            device = torch.device("cpu")
        else:
            environment = self.plan.make_environment() if self.plan.joins else None
            local_rank = 0 if environment is None else environment.world().local_rank
            device = self.plan.make_accelerator().device(self.plan.devices[local_rank])
        return module_init(self.parts.strategy, self.parts.precision, device, empty=empty)

    def accumulate(self, batches: int) -> None:
        """Let the accumulation windows of the present fit have another size."""
        fit = None if self.session is None or self.session.status is not RunStatus.RUNNING else self.session.fit
        reason, remedy = "There is no fit under way.", "Pass it to the Trainer, or set it in `on_train_epoch_start`."
        if fit is not None:
            if fit.engine.module.automatic_optimization:
                fit.window.resize(batches)
                return
            reason, remedy = "Optimisation is manual.", "Step every so many batches in `training_step` instead."
        raise ConfigurationError([Problem("accumulate_grad_batches", batches, reason, remedy)])

    def steps_between(self, every: Every, argument: str) -> int:
        """Return the training batches with a step that an interval comes to in the present fit."""
        if self.session is None or self.session.fit is None:
            raise ModuleError("`trainer.steps_between` is known from `on_train_start` on. Call it there or later.")
        return self.session.fit.size.steps_between(every, argument)

    def plan_for(self, train_dataloaders: Any, val_dataloaders: Any) -> RunPlan:
        """Return the plan, with the timetables of a fit where there are loaders for one."""
        if train_dataloaders is None:
            return self.plan
        validates = val_dataloaders is not None and self.settings.limit_val_batches != 0
        tables = timetables(self.settings, self.plan, self.parts.callbacks, train_dataloaders, validates=validates)
        return replace(self.plan, timetables=tables)

    def training_batches(self) -> Iterable[Any]:
        """Return an epoch of training batches on the device, aside from the fit that is under way."""
        fit = None if self.session is None else self.session.fit
        if fit is None:
            raise ModuleError("`trainer.training_batches` has some from `on_train_start` on. Call it there or later.")
        return on_device(fit.engine, fit.cursor.aside(), 0)

    def stepping_batches(self, accumulate: int) -> int | float:
        """Return the optimizer steps of the whole fit, as far as they can be foreseen."""
        if self.session is None:
            raise ModuleError(
                "`trainer.estimated_stepping_batches` is known during `fit`, for example in `configure_optimizers`."
            )
        settings = self.settings
        most = math.inf if settings.max_steps == -1 else settings.max_steps
        if settings.max_epochs == -1:
            return most
        batches = self.session.data.training().num_batches
        if batches == math.inf:
            return most
        schedule = next((one for one in self.session.parts.callbacks if isinstance(one, SchedulesAccumulation)), None)
        if schedule is None:
            steps = math.ceil(batches / accumulate) * settings.max_epochs
        else:
            epochs = range(settings.max_epochs)
            steps = sum(math.ceil(batches / schedule.accumulation_at(epoch)) for epoch in epochs)
        return min(steps, most)

    def _last_module(self, path: str | PathLike[str] | None) -> tuple[LightningModule, str | PathLike[str] | None]:
        """Return the module of the last run, and its best checkpoint where nothing else is asked for."""
        if self.session is None:
            raise ModuleError("No model was given, and there is none from an earlier run. Pass `model`.")
        keeps = self.parts.trainer.checkpoint_callback is not None
        return self.session.parts.module, "best" if path is None and keeps else path

    def _adopt(self, session: Session) -> None:
        last, self.session = self.session, session
        if last is not None and session.job.stage is not Stage.FIT:
            session.parts.progress = last.parts.progress  # an evaluation counts on where the fit ended
        if session.job.datamodule is not None:
            session.job.datamodule.trainer = self.parts.trainer


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Let Ctrl-C end a program with the code that shells expect; at a prompt it stays an interruption."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if is_interactive():
            raise
        raise Terminated(signal.SIGINT) from interrupt


def _require_module(given: object, stage: Stage) -> None:
    """Raise ModuleError for what is no `LightningModule` that was made."""
    if isinstance(given, type):
        name = given.__name__
        raise ModuleError(f"`Trainer.{stage}` was given the class {name}. Give an object: `{name}()`.")
    if not isinstance(given, LightningModule):
        raise ModuleError(
            f"`Trainer.{stage}` was given a {type(given).__name__}, but needs a `LightningModule`. "
            + _instead_of(given, stage)
        )
    if not hasattr(given, "training"):  # what torch sets first
        raise ModuleError(f"{type(given).__name__}.__init__ must call `super().__init__()`, in its first line.")


def _instead_of(given: object, stage: Stage) -> str:
    if isinstance(getattr(given, "_orig_mod", None), LightningModule):
        return "Compile it in place: `model.compile()`."
    if isinstance(given, nn.Module):
        return "Derive yours from it."
    return f"The model comes first: `trainer.{stage}(model, ...)`."
