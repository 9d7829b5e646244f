"""Training: fit → epoch → batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from fulmen_core._seed import isolate_rng
from fulmen_core.data import EvaluationData
from fulmen_core.loop._accord import stop_accord
from fulmen_core.loop._engine import Engine
from fulmen_core.loop._evaluate import evaluate
from fulmen_core.loop._evaluation_names import VALIDATION
from fulmen_core.loop._fit import SKIP_EPOCH, Fit
from fulmen_core.loop._hook_table import nothing
from fulmen_core.loop._progress import BATCH_ENDED, IN_EPOCH, Phase
from fulmen_interfaces import Hook, RunningStage


def train(fit: Fit) -> None:
    """Train until what was asked for is done.

    ::

        on_train_start
        for each epoch:
            on_train_epoch_start
            for each batch:
                on_train_batch_start, step and weights, on_train_batch_end
                metrics to loggers, validation if it is due
            on_train_epoch_end
        on_train_end

    Where there is nothing to do, no hook is called either.
    """
    if fit.put_back is not None:
        fit.stop.check_resumed()
    if fit.nothing_to_do():
        return
    hooks = fit.engine.hooks
    hooks.both(Hook.ON_TRAIN_START)()
    _take_up(fit)
    run_epoch = fit.engine.profiled("training_epoch", train_epoch)
    while not fit.is_done():
        run_epoch(fit)
        fit.engine.signals.check()
    hooks.both(Hook.ON_TRAIN_END)()


@contextmanager
def stopping_together(fit: Fit) -> Iterator[None]:
    """Inside, ranks that train end after the same batch although only some of them are asked to."""
    engine, control = fit.engine, fit.engine.control
    with stop_accord(engine.shared, engine.world, engine.signals.check) as fit.accord:
        control.agrees = fit.accord is not None
        if control.agrees:
            control.should_stop, control.asked = False, control.should_stop
        yield


def _take_up(fit: Fit) -> None:
    """Put back what a checkpoint holds, and do what was left of the hook in which it was written."""
    if fit.put_back is None:
        return
    fit.put_back()
    fit.put_back = None
    _leave_validation(fit)
    _reopen_epoch(fit)


def _leave_validation(fit: Fit) -> None:
    """Go the user's own way out of a validation at whose end the checkpoint was written."""
    hooks, leave = fit.engine.hooks, Hook.ON_VALIDATION_MODEL_TRAIN
    if fit.progress.phase is Phase.VALIDATED and hooks.of_module(leave) is not None:
        hooks.module_only(leave)()


def _reopen_epoch(fit: Fit) -> None:
    """Go on with an epoch that a limit had cut short, where that limit is further away now."""
    progress = fit.progress
    if (
        progress.phase is Phase.EPOCH_ENDED
        and fit.cursor.is_open
        and not (progress.is_last_batch or progress.skip_epoch or fit.must_stop())
    ):
        progress.phase = Phase.IN_EPOCH
        progress.epochs.processed -= 1


def train_epoch(fit: Fit) -> None:
    """Train one epoch, or what a checkpoint left of one."""
    progress = fit.progress
    if progress.phase is not Phase.EPOCH_ENDED:
        batches = _begin_epoch(fit)
        if progress.phase is not Phase.IN_EPOCH:
            finish_batch(fit)
        if not (progress.skip_epoch or fit.must_stop()):
            run_batch = fit.engine.profiling.batch("training_batch", train_batch)
            for batch in batches:  # also after the last batch: reading to the very end may draw random numbers
                run_batch(fit, batch)
                if progress.skip_epoch or fit.must_stop():
                    break
        _end_epoch(fit)
    _finish_epoch(fit)


def _begin_epoch(fit: Fit) -> Iterable[Any]:
    """Return the batches of the epoch that begins or goes on."""
    progress = fit.progress
    if progress.phase is Phase.BETWEEN_EPOCHS:
        fit.reload_data()
    batches: Iterator[Any] = fit.cursor.epoch(progress.epoch)
    if progress.phase is Phase.BETWEEN_EPOCHS:
        progress.begin_epoch()
        fit.hooks.epoch_start()
    return fit.engine.profiling.fetches("train_dataloader_next", batches)


def train_batch(fit: Fit, batch: Any) -> None:
    """Train on one batch, and do what is due after it."""
    engine, progress = fit.engine, fit.progress
    counter = progress.batches
    batch_idx = counter.ready
    counter.ready = batch_idx + 1
    progress.is_last_batch = is_last = fit.cursor.is_last
    if fit.log_timer is not None:
        fit.ask_log_timer(fit.log_timer)
    if engine.transfer is not None:
        engine.recorder.scope = None
        batch = engine.transfer(batch, 0)
    engine.recorder.batch = batch
    hooks = fit.hooks
    if hooks.batch_start is not nothing and hooks.batch_start(batch, batch_idx) == SKIP_EPOCH:
        counter.processed += 1
        progress.skip_epoch = progress.is_last_batch = True
        fit.schedulers.after_last_batch()
        return
    counter.started += 1
    window = fit.window
    if window.varies:
        window.advance(is_last=is_last)
    outputs = fit.optimise(batch, batch_idx)
    if engine.mark_step is not None:
        engine.mark_step()
    counter.processed += 1
    if window.closes:
        progress.window_filled = 0
        progress.stepped_batches += 1
        if fit.schedulers.by_step:
            fit.schedulers.after_optimizer_step()
    if is_last:
        fit.schedulers.after_last_batch()
    progress.phase = BATCH_ENDED
    if hooks.batch_end is not nothing:
        hooks.batch_end(outputs, batch, batch_idx)
    finish_batch(fit)


def finish_batch(fit: Fit) -> None:
    """Do what follows a batch's end hooks: metrics to loggers, validation, schedulers that watch a metric."""
    engine, progress = fit.engine, fit.progress
    if progress.phase is BATCH_ENDED:
        if fit.accord is not None:
            fit.agree_to_stop()
        if progress.window_filled == 0 and (
            progress.stepped_batches % fit.log_every == 0 or (engine.control.should_stop and fit.log_interval)
        ):
            engine.log_training_step(progress.logged_step)
        if fit.validation is not None and fit.validation_is_due:
            _validate(fit)
    if fit.schedulers.plateau_by_step:
        fit.schedulers.after_batch()
    progress.batches.completed += 1
    progress.phase = IN_EPOCH
    if engine.signals.received is not None:
        engine.signals.check()


def _validate(fit: Fit) -> None:
    engine, progress = fit.engine, fit.progress
    if fit.validation is None:
        return

    def reached_the_end() -> None:
        progress.phase = Phase.VALIDATED

    if progress.window_filled == 0:
        fit.hooks.zero_grad_for_validation()
    fit.paused = fit.standing()
    with engine.running(RunningStage.VALIDATING):
        engine.profiled("validation", evaluate)(
            engine,
            VALIDATION,
            fit.validation,
            stage=RunningStage.VALIDATING,
            step_number=progress.logged_step,
            before_end=reached_the_end,
        )
    fit.paused = None
    fit.clock.ran()


def _end_epoch(fit: Fit) -> None:
    """Complete the epoch's metrics and call the epoch's end hooks."""
    engine, progress = fit.engine, fit.progress
    training = engine.recorder.training
    engine.recorder.batch = None
    fit.cursor.rest()
    engine.publish_epoch(training)
    fit.hooks.epoch_end_early()
    engine.publish_epoch(training)
    engine.results.reset_metrics(training)
    progress.epochs.processed += 1
    progress.phase = Phase.EPOCH_ENDED
    fit.hooks.epoch_end_late()


def _finish_epoch(fit: Fit) -> None:
    """Do what follows an epoch's end hooks: schedulers that watch a metric, metrics to loggers, counters."""
    engine, progress = fit.engine, fit.progress
    if progress.is_last_batch:
        fit.schedulers.after_epoch()
    last_step = max(progress.stepped_batches - 1, 0)  # a window that was left open makes no step
    engine.log_metrics(engine.results.take_unsent(), last_step)
    engine.save_logs()
    progress.end_epoch()


def sanity_check(engine: Engine, load: Callable[[], EvaluationData]) -> None:
    """Run a few validation batches, so that mistakes show before an epoch of training is spent.

    Training goes on with the random numbers that it would have had without.
    """
    stage, at_most = RunningStage.SANITY_CHECKING, engine.settings.num_sanity_val_steps
    with isolate_rng(), engine.running(stage):
        engine.hooks.both(Hook.ON_SANITY_CHECK_START)()
        check = engine.profiled("sanity_check", evaluate)
        check(engine, VALIDATION, load(), stage=stage, step_number=0, at_most=at_most)
        engine.hooks.both(Hook.ON_SANITY_CHECK_END)()
    engine.results.clear()
