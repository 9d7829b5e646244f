"""One fit: what only training needs beside the engine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fulmen_core.data import EvaluationData, TrainingCursor
from fulmen_core.loop._accord import StopAccord, agree_on, any_rank
from fulmen_core.loop._clock import StopRule, TimeBetween, ValidationClock
from fulmen_core.loop._engine import Engine
from fulmen_core.loop._epoch_size import EpochSize
from fulmen_core.loop._hook_table import HookCall
from fulmen_core.loop._optimise import Optimisation
from fulmen_core.loop._progress import BATCH_ENDED, FitProgress, Phase
from fulmen_core.loop._schedulers import SchedulerSteps
from fulmen_core.loop._standing import Standing, Switches
from fulmen_core.loop._window import AccumulationWindow
from fulmen_core.random import RandomStates
from fulmen_interfaces import Every, Hook

NEVER = sys.maxsize
"""More steps than any fit has."""
SKIP_EPOCH = -1
"""What `on_train_batch_start` returns to leave out the rest of the epoch."""


@dataclass
class FitHooks:
    """The hooks of training, bound once."""

    epoch_start: HookCall
    batch_start: HookCall
    batch_end: HookCall
    epoch_end_early: HookCall
    epoch_end_late: HookCall
    zero_grad_for_validation: HookCall

    @classmethod
    def of(cls, engine: Engine) -> FitHooks:
        """Bind them for a run."""
        hooks = engine.hooks
        return cls(
            epoch_start=hooks.both(Hook.ON_TRAIN_EPOCH_START),
            batch_start=_batch_start(engine),
            batch_end=hooks.both(Hook.ON_TRAIN_BATCH_END),
            epoch_end_early=hooks.early(Hook.ON_TRAIN_EPOCH_END),
            epoch_end_late=hooks.late(Hook.ON_TRAIN_EPOCH_END),
            zero_grad_for_validation=hooks.module_only(Hook.ON_VALIDATION_MODEL_ZERO_GRAD),
        )


def _batch_start(engine: Engine) -> HookCall:
    """Return the call. Where the module has a say in whether the epoch goes on, ranks agree on what it said."""
    hook, shared = Hook.ON_TRAIN_BATCH_START, engine.shared
    call = engine.hooks.both(hook)
    if shared is None or engine.hooks.of_module(hook) is None:
        return call

    def agreed(batch: Any, batch_idx: int) -> int | None:
        return SKIP_EPOCH if any_rank(shared, call(batch, batch_idx) == SKIP_EPOCH) else None

    return agreed


@dataclass
class Fit:
    """One fit: the engine, and what only training needs."""

    engine: Engine
    cursor: TrainingCursor
    validation: EvaluationData | None
    optimise: Optimisation
    window: AccumulationWindow
    schedulers: SchedulerSteps
    clock: ValidationClock
    stop: StopRule
    hooks: FitHooks
    reload: Callable[[], tuple[TrainingCursor, EvaluationData | None]] | None = None
    """Asks for the loaders again."""
    put_back: Callable[[], None] | None = None
    """Puts back what a checkpoint holds and `on_train_start` may have changed."""
    switches: Switches | None = None
    """How they stood before the sanity check and `on_train_start`."""
    paused: Standing | None = None
    """How things stood when the validation that runs began."""
    accord: StopAccord | None = None
    """Lets ranks agree on where to stop, where there are several."""
    progress: FitProgress = field(init=False)
    """The counters."""
    log_every: int = field(init=False)
    """Optimizer steps between step values for the loggers."""
    log_timer: TimeBetween | None = field(init=False)
    """Where time decides when these are written, it sets `log_every` before each batch."""

    def __post_init__(self) -> None:
        self.progress = self.engine.progress
        every = self.engine.settings.log_every_n_steps
        time = every.time if isinstance(every, Every) else None
        self.log_timer = None if time is None else TimeBetween(time, agree_on(self.engine.shared))
        self._count_log_steps()

    def _count_log_steps(self) -> None:
        every = self.engine.settings.log_every_n_steps
        if not isinstance(every, Every):
            self.log_every = every or NEVER
        elif every.time is None:
            self.log_every = self.size.steps_between(every, "log_every_n_steps")
        else:
            self.log_every = NEVER

    def ask_log_timer(self, timer: TimeBetween) -> None:
        """Have step values written after the batch that begins, if it is time."""
        self.log_every = NEVER
        if timer.is_up():
            self.log_every = 1
            timer.restart()

    @property
    def log_interval(self) -> int:
        """Optimizer steps between step values for the loggers; 0: none is due."""
        return 0 if self.log_every == NEVER else self.log_every

    @property
    def size(self) -> EpochSize:
        """How large an epoch is."""
        return EpochSize.of(self.cursor.loader, self.cursor.num_batches, self.engine.world.size, self.window.size)

    @property
    def validation_is_due(self) -> bool:
        """Whether validation will run right after the batch that has just ended."""
        return (
            self.validation is not None
            and self.progress.phase is BATCH_ENDED
            and self.clock.due(ending=self.asked_to_stop())
        )

    def standing(self) -> Standing:
        """Return how things stand; while validation runs, how they stood when it began."""
        paused = self.paused
        if paused is not None and self.progress.phase is BATCH_ENDED:
            return paused
        engine = self.engine
        now = Standing.take(
            engine.module, RandomStates(engine.accelerator), self.validation, self.progress.validation_batches
        )
        return now if paused is None else replace(now, switches=paused.switches)

    def reload_data(self) -> None:
        """Ask for the loaders again, where an epoch begins at which that was asked for."""
        every, epoch = self.engine.settings.reload_dataloaders_every_n_epochs, self.progress.epoch
        if self.reload is None or not every or not epoch or epoch % every:
            return
        self.engine.recorder.scope = None
        self.cursor, self.validation = self.reload()
        self._count_log_steps()
        self.window.num_batches = self.cursor.num_batches
        self.clock.count_on(self.cursor.num_batches)

    def nothing_to_do(self) -> bool:
        """Return whether not even one batch was asked for, or all that was asked for is done."""
        return self.is_done() or self.engine.settings.limit_train_batches == 0

    def is_done(self) -> bool:
        """Return whether training is over: no epoch is under way, and none is to follow."""
        self.agree_to_stop()
        return self.progress.phase is Phase.BETWEEN_EPOCHS and (self.stop.limits_reached() or self.asked_to_stop())

    def asked_to_stop(self) -> bool:
        """Return whether a user asked for an end, and the least that was asked for is done."""
        return self.engine.control.should_stop and self.stop.may_stop_early()

    def agree_to_stop(self) -> None:
        """Come to a point at which ranks may agree to stop; all of them come to the same ones."""
        control = self.engine.control
        if self.accord is not None and self.accord.reached(control.asked) and control.agrees:
            control.should_stop, control.agrees = True, False

    def must_stop(self) -> bool:
        """Return whether no further batch may be trained."""
        if self.accord is not None:
            self.agree_to_stop()
        return self.progress.global_step >= self.stop.last_step or (
            self.engine.control.should_stop and self.stop.may_stop_early()
        )
