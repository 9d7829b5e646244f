"""When validation, logging and checkpoints fire in a fit of given data, read ahead from the fit's own clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from operator import attrgetter

from fulmen_core.data import Sharding, batches_under_limit, length_of, training_loader
from fulmen_core.loop import AccumulationWindow, EpochSize, FitProgress, StopRule
from fulmen_core.resolver import MOMENTS_SHOWN, Moment, RunPlan, Timetable
from fulmen_core.settings import EffectiveSettings
from fulmen_core.trainer._clocks import validation_clock
from fulmen_interfaces import Callback, Every, HasSchedule, Unit, World

_BATCHES_READ_AHEAD = 1_000_000


@dataclass(frozen=True)
class _Batch:
    """A batch that is read ahead: whether each clock is due at its end."""

    moment: Moment
    ends_epoch: bool
    steps: int
    """Optimizer steps of the fit so far."""
    stepped: bool
    """Whether this batch made one."""
    validates: bool


def timetables(
    settings: EffectiveSettings,
    plan: RunPlan,
    callbacks: Sequence[Callback],
    train_dataloaders: object,
    *,
    validates: bool,
    moments: int = MOMENTS_SHOWN,
) -> tuple[Timetable, ...]:
    """Return the first moments of everything that has an interval. Reads no data; raises what a fit would raise."""
    size = _size(settings, plan, train_dataloaders)

    def table(what: str, every: object, fires: Callable[[_Batch], bool] | None) -> Timetable:
        if fires is None:
            return Timetable(what, str(every), None)
        batches = islice(_read_ahead(settings, size, validates=validates), _BATCHES_READ_AHEAD)
        found = (batch.moment for batch in batches if fires(batch))
        return Timetable(what, str(every), tuple(islice(found, moments)))

    tables = []
    if validates:
        timed = isinstance(settings.val_check_interval, timedelta)
        tables.append(table("validation", _validation_interval(settings), None if timed else attrgetter("validates")))
    asked = settings.log_every_n_steps
    if asked:
        every = asked if isinstance(asked, Every) else Every(asked, Unit.STEPS)
        tables.append(table("logging", every, _by_steps(every, size, "log_every_n_steps")))
    for callback in callbacks:
        if isinstance(callback, HasSchedule) and callback.schedule is not None:
            every, with_training = callback.schedule, callback.epochs_end_with_training
            if with_training is None:
                with_training = not validates or settings.validates_once_per_epoch
            by_epochs = every.unit is Unit.EPOCHS
            fires = _by_epochs(every, with_training) if by_epochs else _by_steps(every, size, "every")
            tables.append(table("checkpoints", every, fires))
    return tuple(tables)


def _by_steps(every: Every, size: EpochSize, argument: str) -> Callable[[_Batch], bool] | None:
    """Return what says after which batches an interval of optimizer steps ends; None where time decides."""
    if every.time is not None:
        return None
    steps = size.steps_between(every, argument)
    return lambda batch: batch.stepped and batch.steps % steps == 0


def _by_epochs(every: Every, with_training: bool) -> Callable[[_Batch], bool]:
    def fires(batch: _Batch) -> bool:
        ends = batch.ends_epoch if with_training else batch.validates
        return ends and (batch.moment.epoch + 1) % every.amount == 0

    return fires


def _validation_interval(settings: EffectiveSettings) -> Every | str:
    interval, epochs = settings.val_check_interval, settings.check_val_every_n_epoch
    if isinstance(interval, Every):
        return interval
    if isinstance(interval, timedelta):
        return Every(interval.total_seconds(), Unit.SECONDS)
    if isinstance(interval, int):
        return f"{interval} batch{'es' if interval > 1 else ''}"
    return Every(epochs or 1, Unit.EPOCHS) if interval == 1.0 else Every(interval * 100, Unit.SHARE)


def _size(settings: EffectiveSettings, plan: RunPlan, loaders: object) -> EpochSize:
    """Return the size of an epoch on rank zero, as the fit will find it."""
    loader = training_loader(loaders)
    if plan.world_size > 1 and settings.use_distributed_sampler:
        loader = Sharding(World(size=plan.world_size), seed=0).for_training(loader)
    argument = "overfit_batches" if settings.overfit_batches else "limit_train_batches"
    batches = batches_under_limit(length_of(loader), settings.limit_train_batches, argument)
    return EpochSize.of(loader, batches, plan.world_size, settings.accumulate_grad_batches)


def _read_ahead(settings: EffectiveSettings, size: EpochSize, *, validates: bool) -> Iterator[_Batch]:
    """Go through a fit as the loop does, without training."""
    progress = FitProgress()
    window = AccumulationWindow(progress, settings.accumulate_grad_batches, size.batches)
    clock = validation_clock(settings, size, progress, validates=validates)
    stop = StopRule(settings.max_epochs, settings.max_steps, 0, 0, progress)
    while size.batches and not stop.limits_reached():
        progress.begin_epoch()
        while progress.batches.processed < size.batches and not stop.steps_reached():
            progress.batches.ready += 1
            progress.is_last_batch = is_last = progress.batches.ready >= size.batches
            window.advance(is_last=is_last)
            progress.batches.processed += 1
            stepped = window.closes
            if stepped:
                progress.window_filled = 0
                progress.stepped_batches += 1
                progress.global_step += 1
            yield _Batch(
                Moment(progress.epoch, progress.batches.processed),
                ends_epoch=is_last or stop.steps_reached(),
                steps=progress.stepped_batches,
                stepped=stepped,
                validates=validates and clock.due(),
            )
        progress.end_epoch()
