"""What `fit`, `validate`, `test` and `predict` do in each process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer

from fulmen_core.checkpoint import open_checkpoint
from fulmen_core.data import EvaluationData
from fulmen_core.loop import (
    TEST,
    VALIDATION,
    Engine,
    Fit,
    Phase,
    Switches,
    by_loader,
    evaluate,
    predict,
    read_configuration,
    sanity_check,
    stopping_together,
    train,
)
from fulmen_core.snapshot import (
    restore_callbacks,
    restore_datamodule,
    restore_optimizers,
    restore_position,
    restore_progress,
    restore_weights,
)
from fulmen_core.trainer._assemble import assemble_fit
from fulmen_core.trainer._job import Job
from fulmen_core.trainer._session import Ingredients, Session, open_session
from fulmen_core.trainer._table import results_table
from fulmen_core.trainer._verify import half_validation
from fulmen_interfaces import CheckpointIO, Hook, LRSchedulerConfig, RunningStage, Stage, World, rank_zero_warn


def run_fit(ingredients: Ingredients, job: Job, world: World) -> None:
    """Train. Runs in every process.

    ::

        prepare_data, setup, configure_model
        the checkpoint to go on from, if any
        configure_optimizers, on_fit_start
        sanity check
        train
        on_fit_end, teardown
    """
    with open_session(ingredients, job, world) as session:
        session.set_up()
        fit = _begin_fit(session)
        with stopping_together(fit):
            train(fit)
        fit.engine.hooks.both(Hook.ON_FIT_END)()


def _begin_fit(session: Session) -> Fit:
    """Do what comes between set-up and training. When it returns, the checkpoint's memory is free again."""
    checkpoint = read_checkpoint(session, session.ingredients.checkpoint_io)
    path = str(session.job.ckpt_path)
    engine = _prepared_for_training(session)
    if checkpoint is not None:
        restore_weights(engine, checkpoint, path)
    engine.hooks.both(Hook.ON_FIT_START)()
    session.log_hyperparameters()
    engine.loggers.log_graph(engine.module)
    _warn(engine, session.job)
    if checkpoint is not None:
        restore_optimizers(engine, checkpoint, path)
        restore_progress(engine, checkpoint, path)
    fit = _make_fit(session, engine)
    if checkpoint is not None:
        restore_position(engine, fit, checkpoint)
    return fit


def run_evaluation(ingredients: Ingredients, job: Job, world: World) -> list[dict[str, float]]:
    """Validate or test. Runs in every process; returns the logged values by loader."""
    stage, names = {
        Stage.VALIDATE: (RunningStage.VALIDATING, VALIDATION),
        Stage.TEST: (RunningStage.TESTING, TEST),
    }[job.stage]
    with open_session(ingredients, job, world) as session:
        engine = _prepared_for_evaluation(session)
        session.log_hyperparameters()
        data = session.data.evaluation()
        if _has_no_batch(session, data):
            return []
        values = evaluate(engine, names, data, stage=stage, step_number=engine.progress.global_step)
        results = by_loader(values, engine.recorder.evaluation, len(data.loaders))
        if job.verbose and world.is_global_zero:
            table = results_table(results, job.stage.value)
            if table:
                session.link.print(table)
        return results


def run_prediction(ingredients: Ingredients, job: Job, world: World) -> list[Any] | list[list[Any]] | None:
    """Predict. Runs in every process; returns the outputs by batch, and by loader where there are several."""
    with open_session(ingredients, job, world) as session:
        engine = _prepared_for_evaluation(session)
        data = session.data.evaluation()
        if _has_no_batch(session, data):
            return None
        return predict(engine, data, keep=job.return_predictions, gather=job.gather)


def _has_no_batch(session: Session, data: EvaluationData) -> bool:
    """Return whether there is nothing to evaluate, on any rank."""
    nothing_here, shared = not any(data.num_batches), session.parts.shared
    return nothing_here if shared is None else all(shared.gather_objects(nothing_here))


def read_checkpoint(session: Session, checkpoint_io: CheckpointIO) -> dict[str, Any] | None:
    """Read the checkpoint that was asked for and show it to those who may change it."""
    job, parts = session.job, session.parts
    if job.ckpt_path is None:
        return None
    weights_only = True if job.weights_only is None else job.weights_only
    load = parts.profiling.wrap("load_checkpoint", open_checkpoint)
    checkpoint: dict[str, Any] = load(job.ckpt_path, checkpoint_io, weights_only=weights_only, world=parts.world)
    parts.module.on_load_checkpoint(checkpoint)
    restore_callbacks(parts, checkpoint)
    restore_datamodule(parts, checkpoint)
    return checkpoint


def _prepared_for_training(session: Session) -> Engine:
    """Let the strategy make model and optimizers ready."""
    module = session.parts.module
    configure = session.parts.profiling.hook(module, Hook.CONFIGURE_OPTIMIZERS, module.configure_optimizers)
    configs: list[LRSchedulerConfig] = []

    def make_optimizers() -> Sequence[Optimizer]:
        optimizers, found = read_configuration(configure(), manual=not module.automatic_optimization)
        configs.extend(found)
        return optimizers

    engine = session.prepare(make_optimizers)
    engine.scheduler_configs = configs
    session.link.hand_out(engine.prepared, configs)
    if not engine.prepared.optimizers:
        rank_zero_warn(
            f"`{type(module).__name__}.configure_optimizers` returned no optimizer: nothing will be trained."
        )
    if not module.training:
        rank_zero_warn(
            f"{type(module).__name__} is in evaluation mode, and is trained so: dropout is off, batch norm does not "
            "learn. Call `.train()` on it before `fit` if this is not meant."
        )
    return engine


def _prepared_for_evaluation(session: Session) -> Engine:
    session.set_up()
    checkpoint = read_checkpoint(session, session.ingredients.checkpoint_io)
    engine = session.prepare(lambda: ())
    if checkpoint is not None:
        restore_weights(engine, checkpoint, str(session.job.ckpt_path))
    return engine


def _make_fit(session: Session, engine: Engine) -> Fit:
    """Load the data in the order in which it is needed, check it, and put the fit together."""
    switches = Switches.of(engine.module)
    if session.data.checks_sanity and engine.progress.phase in (Phase.BETWEEN_EPOCHS, Phase.EPOCH_ENDED):
        sanity_check(engine, session.data.sanity)
    cursor = session.data.training()
    fit = assemble_fit(engine, session.link, cursor, session.data.validation())
    fit.reload, fit.switches = session.reload, switches
    session.fit = fit
    _warn_of_silent_loggers(fit, session.ingredients.trainer.estimated_stepping_batches)
    return fit


def _warn_of_silent_loggers(fit: Fit, steps: int | float) -> None:
    """Warn where a fit is over before values of steps are written for the first time."""
    every, trial = fit.log_interval, fit.engine.settings.fast_dev_run
    if fit.engine.loggers and not trial and 0 < steps < every:
        rank_zero_warn(
            f"Loggers get values of steps every {every} steps, but this fit has {steps}: they will get none. "
            f"Write log_every_n_steps={steps} at most to have them."
        )


def _warn(engine: Engine, job: Job) -> None:
    half = half_validation(job) if engine.settings.limit_val_batches != 0 else None
    for text in (*engine.settings.warnings, half):
        if text is not None:
            rank_zero_warn(text)
