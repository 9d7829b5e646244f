"""One run in one process: set-up in the order of the hooks, what happens to errors, and teardown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer

from fulmen_core._near_miss import near_miss_hooks
from fulmen_core.data import EvaluationData, LightningDataModule, TrainingCursor
from fulmen_core.hparams import hyperparameters_to_log
from fulmen_core.logging import LoggerGroup, Recorder, Results, SilentRecorder
from fulmen_core.loop import (
    Engine,
    Fit,
    FitProgress,
    HookTable,
    Profiling,
    RunControl,
    RunParts,
    SignalWatch,
    StepEntry,
    overridden,
)
from fulmen_core.module import LightningModule
from fulmen_core.resolver import RunPlan
from fulmen_core.settings import EffectiveSettings
from fulmen_core.trainer._components import with_module_callbacks
from fulmen_core.trainer._job import Job
from fulmen_core.trainer._module_init import module_init
from fulmen_core.trainer._places import LAST, newest_checkpoint, nothing_newest
from fulmen_core.trainer._requeue import Requeue
from fulmen_core.trainer._run_data import RunData
from fulmen_core.trainer._run_link import ModuleLink
from fulmen_core.trainer._torch_flags import torch_flags
from fulmen_core.trainer._transfer import make_transfer, shadowed_hooks
from fulmen_interfaces import (
    Accelerator,
    Callback,
    CheckpointIO,
    Collectives,
    Hook,
    Logger,
    Precision,
    PrepareRequest,
    Profiler,
    RunStatus,
    Stage,
    Strategy,
    World,
    rank_zero_warn,
)


@dataclass(frozen=True)
class Ingredients:
    """What a Trainer hands to each of its runs."""

    trainer: Any
    plan: RunPlan
    settings: EffectiveSettings
    strategy: Strategy
    precision: Precision
    callbacks: list[Callback]
    """As the user set them last."""
    loggers: list[Logger]
    """As the user set them last."""
    profiler: Profiler | None
    checkpoint_io: CheckpointIO
    adopt: Callable[[Session], None]
    """Told about the session as soon as there is one, so that the trainer's properties show it."""


class Session:
    """A run under way: its parts, and the engine once the model is prepared."""

    def __init__(self, parts: RunParts, link: ModuleLink, job: Job, ingredients: Ingredients) -> None:
        self.parts = parts
        self.link = link
        self.job = job
        self.ingredients = ingredients
        self.status = RunStatus.RUNNING
        self.engine: Engine | None = None
        self.fit: Fit | None = None
        self.requeue: Requeue | None = None
        """Where the scheduler of a fit's job can run it again."""
        self.data = RunData(parts, job)

    def start_profiler(self) -> None:
        """Let the profiler, if there is one, begin."""
        profiler = self.parts.profiling.profiler
        if profiler is not None:
            log_dir = self.ingredients.trainer.log_dir
            profiler.setup(self.job.stage.value, self.parts.world.rank, log_dir)

    def set_up(self) -> None:
        """Let data and model come into being: the hooks from `prepare_data` to `configure_model`."""
        parts, stage = self.parts, self.job.stage.value
        self._report_near_misses()
        again = None if self.requeue is None else self.requeue.found(parts.settings.default_root_dir)
        if again is not None:
            self.job = replace(self.job, ckpt_path=again)
        elif self.job.ckpt_path == LAST:
            self.job = replace(self.job, ckpt_path=self._newest_checkpoint())
        self._prepare_data()
        hook = parts.profiling.hook
        if parts.datamodule is not None:
            hook(parts.datamodule, Hook.SETUP, parts.datamodule.setup)(stage)
        for setup in self._of_callbacks(Hook.SETUP, stage):
            setup()
        hook(parts.module, Hook.SETUP, parts.module.setup)(stage)
        parts.collectives.barrier("setup")
        with module_init(self.ingredients.strategy, self.ingredients.precision, parts.device):
            hook(parts.module, Hook.CONFIGURE_MODEL, parts.module.configure_model)()
        parts.module.attach(self.link)  # with what was made since
        parts.signals.check()

    def prepare(self, make_optimizers: Callable[[], Sequence[Optimizer]]) -> Engine:
        """Let the strategy place and wrap the model, and make the engine."""
        parts, settings = self.parts, self.parts.settings
        entry = StepEntry(parts.module)
        prepared = parts.profiling.wrap("prepare_model", self.ingredients.strategy.prepare)(
            PrepareRequest(
                module=parts.module,
                entry=entry,
                make_optimizers=make_optimizers,
                precision=self.ingredients.precision,
                clipping=settings.gradient_clipping,
                accumulate_grad_batches=settings.accumulate_grad_batches,
                sync_batchnorm=settings.sync_batchnorm,
                training=self.job.stage is Stage.FIT,
            )
        )
        transfer = make_transfer(parts.module, parts.datamodule, prepared, parts.device)
        if transfer is not None:
            transfer = parts.profiling.wrap("batch_to_device", transfer)
        parts.profiling.attach(parts.module)
        self.engine = Engine(
            **vars(parts), prepared=prepared, entry=entry, transfer=transfer, prefetch=self.data.prefetch
        )
        return self.engine

    def reload(self) -> tuple[TrainingCursor, EvaluationData | None]:
        """Ask for the loaders again."""
        self.data.reload()
        return self.data.training(), self.data.validation()

    def log_hyperparameters(self) -> None:
        """Send the hyper-parameters of module and data module to the loggers."""
        if not self.parts.settings.enable_autolog_hparams or not self.parts.loggers:
            return
        hparams = hyperparameters_to_log(self.parts.module, self.parts.datamodule)
        if hparams is not None:
            self.parts.loggers.log_hyperparams(hparams)

    def tell_exception(self, error: BaseException) -> None:
        """Tell callbacks and data module about the error that ends the run."""
        interrupted = isinstance(error, (KeyboardInterrupt, SystemExit))
        self.status = RunStatus.INTERRUPTED if interrupted else RunStatus.FAILED
        self.parts.recorder.scope = None
        steps = self._of_callbacks(Hook.ON_EXCEPTION, error)
        if self.parts.datamodule is not None:
            steps.append(partial(self.parts.datamodule.on_exception, error))
        run_all(steps, failed=True)

    def tear_down(self) -> None:
        """Call the teardown hooks and leave nothing behind, whatever each of them raises."""
        parts, stage = self.parts, self.job.stage.value
        parts.recorder.scope = None
        hook = parts.profiling.hook
        steps: list[Callable[[], object]] = [self.ingredients.strategy.teardown]
        if parts.datamodule is not None:
            steps.append(partial(hook(parts.datamodule, Hook.TEARDOWN, parts.datamodule.teardown), stage))
        steps += [
            *self._of_callbacks(Hook.TEARDOWN, stage),
            partial(hook(parts.module, Hook.TEARDOWN, parts.module.teardown), stage),
            partial(parts.profiling.wrap("finalize_loggers", parts.loggers.finalize), self.status),
        ]
        profiler = parts.profiling.profiler
        if profiler is not None:
            steps += [profiler.describe, lambda: profiler.teardown(stage)]
        steps += [self.ingredients.checkpoint_io.teardown, parts.accelerator.teardown, self.leave]
        run_all(steps, failed=self.status is not RunStatus.FINISHED)

    def leave(self) -> None:
        """Cut the ties of module and callbacks to the run."""
        for callback in self.parts.callbacks:
            callback.log_through(None)
        self.link.leave()

    def _newest_checkpoint(self) -> str | None:
        """Return what "last" stands for, as rank zero finds it."""
        parts, trainer = self.parts, self.ingredients.trainer
        found = newest_checkpoint(trainer, parts.callbacks) if parts.world.is_global_zero else ""
        path = parts.collectives.broadcast(found)
        if not path:
            nothing_newest(parts.callbacks, self.job.stage)
        return path or None

    def _prepare_data(self) -> None:
        parts = self.parts
        for owner in (parts.datamodule, parts.module):
            if owner is None:
                continue
            chosen = parts.world.is_local_zero if owner.prepare_data_per_node else parts.world.is_global_zero
            if chosen:
                parts.profiling.hook(owner, Hook.PREPARE_DATA, owner.prepare_data)()
        parts.collectives.barrier("prepare_data")

    def _of_callbacks(self, hook: Hook, *args: Any) -> list[Callable[[], object]]:
        """Return the calls of that hook."""
        parts = self.parts
        methods = [(callback, overridden(callback, Callback, hook)) for callback in parts.callbacks]
        return [
            partial(parts.profiling.hook(callback, hook, method), parts.trainer, parts.module, *args)
            for callback, method in methods
            if method is not None
        ]

    def _report_near_misses(self) -> None:
        problems = near_miss_hooks(self.parts.module, LightningModule)
        if self.parts.datamodule is not None:
            problems += near_miss_hooks(self.parts.datamodule, LightningDataModule)
        for callback in self.parts.callbacks:
            problems += near_miss_hooks(callback, Callback)
        for problem in problems:
            rank_zero_warn(str(problem))
        module, datamodule = type(self.parts.module).__name__, type(self.parts.datamodule).__name__
        for hook in shadowed_hooks(self.parts.module, self.parts.datamodule):
            rank_zero_warn(f"{module}.{hook} is not called: {datamodule}.{hook} takes its place. Keep one of them.")


@contextmanager
def open_session(ingredients: Ingredients, job: Job, world: World) -> Iterator[Session]:
    """Inside, the run exists in this process. Errors reach the `on_exception` hooks; teardown always runs."""
    placement = ingredients.plan.place(world)
    ingredients.strategy.start(placement)
    device, accelerator = placement.device, placement.accelerator
    collectives = ingredients.strategy.collectives
    # Processes that we started ourselves do not all know of the scheduler.
    warned = job.stage is Stage.FIT and (ingredients.plan.joins or world.size == 1)
    requeue = Requeue.of(placement.environment, world, collectives) if warned else None
    session = make_session(ingredients, job, world, device, accelerator, collectives, requeue)
    session.requeue = requeue
    parts = session.parts
    ingredients.adopt(session)
    with parts.signals, torch_flags(ingredients.settings), parts.running(job.doing):
        try:
            session.start_profiler()
            yield session
            parts.signals.check()
            parts.collectives.barrier("end of the run")
            session.status = RunStatus.FINISHED
        except BaseException as error:
            ending = parts.signals.instead_of(error)
            session.tell_exception(ending)
            if ending is error:
                raise
            raise ending from error
        finally:
            session.tear_down()


def make_session(
    ingredients: Ingredients,
    job: Job,
    world: World,
    device: torch.device,
    accelerator: Accelerator,
    collectives: Collectives,
    requeue: Requeue | None = None,
) -> Session:
    """Return a session that has not begun: every part of it, attached to the module."""
    settings = ingredients.settings
    recorder = Recorder() if settings.record_metrics else SilentRecorder()
    link = ModuleLink(ingredients.trainer, recorder=recorder, world=world, device=device, collectives=collectives)
    job.module.attach(link)
    own = ingredients.callbacks if requeue is None else [*ingredients.callbacks, requeue]
    callbacks = with_module_callbacks(own, job.module)
    for callback in callbacks:
        callback.log_through(job.module)
    profiling = Profiling(ingredients.profiler)
    parts = RunParts(
        stage=job.stage,
        trainer=ingredients.trainer,
        module=job.module,
        datamodule=job.datamodule,
        callbacks=callbacks,
        settings=settings,
        world=world,
        device=device,
        accelerator=accelerator,
        collectives=collectives,
        recorder=recorder,
        results=Results(),
        loggers=LoggerGroup(ingredients.loggers, is_global_zero=world.is_global_zero),
        hooks=HookTable(ingredients.trainer, job.module, callbacks, recorder, profiling),
        signals=SignalWatch(),
        profiling=profiling,
        progress=FitProgress(),
        control=RunControl(),
    )
    return Session(parts, link, job, ingredients)


def run_all(steps: Sequence[Callable[[], object]], *, failed: bool) -> None:
    """Run every step even if some fail, then raise the first failure; where the run failed before, only warn of it."""
    failures: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as error:
            failures.append(error)
            if failed:
                rank_zero_warn(f"Another error came while the run was ending: {type(error).__name__}: {error}")
    if failures and not failed:
        raise failures[0]
