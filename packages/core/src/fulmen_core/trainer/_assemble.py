"""Putting a fit together from its parts."""

from __future__ import annotations

from typing import Any

from fulmen_core.data import EvaluationData, TrainingCursor
from fulmen_core.loop import (
    AccumulationWindow,
    AutomaticOptimisation,
    Engine,
    EpochSize,
    Fit,
    FitHooks,
    GradientSteps,
    ManualOptimisation,
    Optimisation,
    OptimiserHooks,
    SchedulerSteps,
    SeveralOptimisers,
    StepCall,
    StopRule,
    accepted_arguments,
    agree_on,
    bind_step,
    needs_closure,
    nothing,
)
from fulmen_core.module import LightningModule
from fulmen_core.trainer._clocks import validation_clock
from fulmen_core.trainer._run_link import ModuleLink
from fulmen_interfaces import GradientClipping, Hook, ModuleError


def assemble_fit(engine: Engine, link: ModuleLink, cursor: TrainingCursor, validation: EvaluationData | None) -> Fit:
    """Return the fit that the engine will run."""
    settings, progress = engine.settings, engine.progress
    automatic = engine.module.automatic_optimization
    window = AccumulationWindow(progress, settings.accumulate_grad_batches if automatic else 1, cursor.num_batches)
    gradients = GradientSteps(engine.prepared, _hooks(engine, cursor, automatic=automatic), progress, engine.profiling)
    link.gradients = gradients
    optimise = _automatic(engine, link, gradients, window) if automatic else _manual(engine, gradients)
    return Fit(
        engine=engine,
        cursor=cursor,
        validation=validation,
        optimise=optimise,
        window=window,
        schedulers=SchedulerSteps(
            engine.scheduler_configs if automatic else (),
            progress=progress,
            step=engine.hooks.module_only(Hook.LR_SCHEDULER_STEP),
            metrics=lambda: engine.results.callback_metrics(engine.recorder.training),
        ),
        clock=validation_clock(
            settings,
            EpochSize.of(cursor.loader, cursor.num_batches, engine.world.size, window.size),
            progress,
            agree=agree_on(engine.shared),
            validates=validation is not None,
        ),
        stop=StopRule(
            max_epochs=settings.max_epochs,
            max_steps=settings.max_steps,
            min_epochs=settings.min_epochs,
            min_steps=settings.min_steps or 0,
            progress=progress,
        ),
        hooks=FitHooks.of(engine),
    )


def _hooks(engine: Engine, cursor: TrainingCursor, *, automatic: bool) -> OptimiserHooks:
    hooks = engine.hooks
    before_zero_grad, zero_grad = hooks.both(Hook.ON_BEFORE_ZERO_GRAD), _if_overridden(engine, Hook.OPTIMIZER_ZERO_GRAD)
    return OptimiserHooks(
        before_zero_grad=before_zero_grad,
        before_backward=hooks.both(Hook.ON_BEFORE_BACKWARD),
        after_backward=hooks.both(Hook.ON_AFTER_BACKWARD),
        before_optimizer_step=hooks.both(Hook.ON_BEFORE_OPTIMIZER_STEP),
        clip=_clip(engine) if automatic else nothing,
        zero_grad=zero_grad,
        backward=cursor.weighted(_if_overridden(engine, Hook.BACKWARD), engine.prepared.backward),
        optimizer_step=_if_overridden(engine, Hook.OPTIMIZER_STEP),
        zero_grad_unseen=before_zero_grad is nothing and zero_grad is None and engine.profiling.profiler is None,
        keep_outputs=hooks.both(Hook.ON_TRAIN_BATCH_END) is not nothing,
    )


def _if_overridden(engine: Engine, hook: Hook) -> Any:
    return engine.hooks.module_only(hook) if engine.hooks.of_module(hook) is not None else None


def _clip(engine: Engine) -> Any:
    """Return what bounds gradients: the module's own way, the configured one, or nothing."""
    clipping, prepared = engine.settings.gradient_clipping, engine.prepared
    if engine.hooks.of_module(Hook.CONFIGURE_GRADIENT_CLIPPING) is not None:
        own = engine.hooks.module_only(Hook.CONFIGURE_GRADIENT_CLIPPING)
        value, algorithm = (None, None) if clipping is None else (clipping.limit, clipping.algorithm.value)
        return lambda optimizer: own(optimizer, value, algorithm)
    if clipping is None:
        return nothing
    return _bounded(engine.profiled("clip_gradients", prepared.clip_gradients), clipping)


def _bounded(clip: Any, clipping: GradientClipping) -> Any:
    return lambda optimizer: clip(optimizer, clipping)


def _automatic(engine: Engine, link: ModuleLink, gradients: GradientSteps, window: AccumulationWindow) -> Optimisation:
    wrapped, optimizers = link.optimizers, engine.prepared.optimizers
    count = len(optimizers)
    several = count > 1
    step = bind_step(Hook.TRAINING_STEP, engine.entry, engine.prepared, extra=int(several))
    step = engine.profiled("training_step", step)
    steps = [step] * count
    if several:
        _check_takes_index(engine.module, count)
        steps = [_with_index(step, index) for index in range(count)]
    scope = engine.recorder.scope_of(Hook.TRAINING_STEP, engine.recorder.training)
    turns = [
        AutomaticOptimisation(
            one,
            step=step,
            gradients=gradients,
            window=window,
            by_closure=needs_closure(one.optimizer),
            recorder=engine.recorder,
            scope=scope,
            progress=engine.progress,
        )
        for one, step in zip(wrapped, steps, strict=True)
    ]
    if several:
        return SeveralOptimisers(turns, optimizers)
    return turns[0] if turns else _manual(engine, gradients)


def _with_index(step: StepCall, index: int) -> StepCall:
    return lambda batch, batch_idx: step(batch, batch_idx, index)


def _manual(engine: Engine, gradients: GradientSteps) -> Optimisation:
    step = engine.profiled("training_step", bind_step(Hook.TRAINING_STEP, engine.entry, engine.prepared))
    scope = engine.recorder.scope_of(Hook.TRAINING_STEP, engine.recorder.training)
    return ManualOptimisation(
        step=step, recorder=engine.recorder, scope=scope, keep_outputs=gradients.hooks.keep_outputs
    )


def _check_takes_index(module: LightningModule, count: int) -> None:
    if accepted_arguments(module.training_step) < 3:
        raise ModuleError(
            f"`configure_optimizers` returned {count} optimizers, but `training_step` takes no `optimizer_idx`. Set "
            "`self.automatic_optimization = False` and step them in `training_step`, or define "
            "`training_step(self, batch, batch_idx, optimizer_idx)` to have it called once for each."
        )
