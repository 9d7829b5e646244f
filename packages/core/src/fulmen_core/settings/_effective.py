"""What the settings come to, once and for all."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from fulmen_core.logging import TrialLogger
from fulmen_core.settings._settings import Limit, TrainerSettings
from fulmen_interfaces import ClipAlgorithm, Every, GradientClipping, Logger, Profiler, Unit

DEFAULT_MAX_EPOCHS = 1000
DEFAULT_LOG_EVERY_N_STEPS = 50
DEFAULT_SANITY_STEPS = 2


@dataclass(frozen=True, kw_only=True)
class EffectiveSettings:
    """What a run does: every default filled in, every argument that changes others applied."""

    fast_dev_run: int
    """Batches of a trial run; 0: this is none."""
    barebones: bool
    """Whether nothing but training happens."""
    max_epochs: int
    """-1: epochs do not end training."""
    min_epochs: int
    max_steps: int
    """-1: steps do not end training."""
    min_steps: int | None
    max_time: timedelta | None
    limit_train_batches: Limit
    limit_val_batches: Limit
    limit_test_batches: Limit
    limit_predict_batches: Limit
    overfit_batches: Limit
    """0: off."""
    val_check_interval: Limit | timedelta | Every
    """With a unit: steps or samples, which are counted over the whole fit."""
    check_val_every_n_epoch: int | None
    num_sanity_val_steps: int | float
    """infinity: all."""
    log_every_n_steps: int | Every
    """0: step metrics are not written."""
    logger: Logger | str | bool | tuple[Logger | str, ...]
    """True: the best that is installed; False: none."""
    record_metrics: bool
    """Whether `self.log` does anything."""
    enable_checkpointing: bool
    enable_progress_bar: bool
    enable_model_summary: bool
    enable_autolog_hparams: bool
    accumulate_grad_batches: int
    gradient_clipping: GradientClipping | None
    deterministic: bool | Literal["warn"]
    benchmark: bool | None
    """None: left as it is."""
    inference_mode: bool
    use_distributed_sampler: bool
    uneven_batches: Literal["stop", "zero_weight"]
    sync_batchnorm: bool
    detect_anomaly: bool
    profiler: str | Profiler | None
    reload_dataloaders_every_n_epochs: int
    default_root_dir: str
    warnings: tuple[str, ...] = ()
    """What the user should read when fitting begins."""

    @property
    def validates_once_per_epoch(self) -> bool:
        """Whether each epoch validates once, at its end."""
        interval = self.val_check_interval  # 1 is every batch, 1.0 every epoch
        return self.check_val_every_n_epoch == 1 and isinstance(interval, float) and interval == 1.0


def effective(settings: TrainerSettings) -> EffectiveSettings:
    """Return what the settings come to. Pure, but for the working directory."""
    trial = int(settings.fast_dev_run)
    quiet = bool(trial) or settings.barebones
    root = os.getcwd() if settings.default_root_dir is None else settings.default_root_dir
    max_epochs, warnings = _max_epochs(settings, trial)
    limits = _limits(settings, trial)
    interval, every_n_epochs = (1.0, 1) if trial else _validation(settings)
    return EffectiveSettings(
        fast_dev_run=trial,
        barebones=settings.barebones,
        max_epochs=max_epochs,
        min_epochs=0 if trial else _min_epochs(settings),
        max_steps=trial or settings.max_steps,
        min_steps=None if trial else settings.min_steps,
        max_time=settings.max_time,
        limit_train_batches=settings.overfit_batches or limits[0],
        limit_val_batches=settings.overfit_batches or limits[1],
        limit_test_batches=limits[2],
        limit_predict_batches=limits[3],
        overfit_batches=settings.overfit_batches,
        val_check_interval=interval,
        check_val_every_n_epoch=every_n_epochs,
        num_sanity_val_steps=0 if quiet else _sanity_steps(settings.num_sanity_val_steps),
        log_every_n_steps=0 if settings.barebones else _log_interval(settings.log_every_n_steps),
        logger=_logger(settings, root),
        record_metrics=not settings.barebones,
        enable_checkpointing=not quiet and settings.enable_checkpointing is not False,
        enable_progress_bar=not settings.barebones and settings.enable_progress_bar is not False,
        enable_model_summary=not settings.barebones and settings.enable_model_summary is not False,
        enable_autolog_hparams=settings.enable_autolog_hparams and not settings.barebones,
        accumulate_grad_batches=settings.accumulate_grad_batches,
        gradient_clipping=_clipping(settings),
        deterministic=settings.deterministic or False,
        benchmark=False if settings.benchmark is None and settings.deterministic else settings.benchmark,
        inference_mode=settings.inference_mode,
        use_distributed_sampler=settings.use_distributed_sampler,
        uneven_batches=settings.uneven_batches,
        sync_batchnorm=settings.sync_batchnorm,
        detect_anomaly=settings.detect_anomaly,
        profiler=settings.profiler,
        reload_dataloaders_every_n_epochs=settings.reload_dataloaders_every_n_epochs,
        default_root_dir=root,
        warnings=warnings,
    )


def _validation(settings: TrainerSettings) -> tuple[Limit | timedelta | Every, int | None]:
    """Return the interval and the epochs between validations, where epochs count."""
    interval, every_n_epochs = settings.val_check_interval, settings.check_val_every_n_epoch
    if not isinstance(interval, Every):
        return (1.0 if interval is None else interval), every_n_epochs
    if interval.unit is Unit.SHARE:
        return float(interval.amount) / 100, every_n_epochs
    if interval.unit is Unit.EPOCHS:
        return 1.0, int(interval.amount)
    return interval.time or interval, None


def _log_interval(asked: int | Every | None) -> int | Every:
    if isinstance(asked, Every):
        return int(asked.amount) if asked.unit is Unit.STEPS else asked
    return DEFAULT_LOG_EVERY_N_STEPS if asked is None else asked


def _max_epochs(settings: TrainerSettings, trial: int) -> tuple[int, tuple[str, ...]]:
    if trial:
        return 1, ()
    if settings.max_epochs is not None:
        return settings.max_epochs, ()
    if settings.max_steps != -1 or settings.max_time is not None:
        return -1, ()
    warning = (
        f"Nothing says when training ends: it will after {DEFAULT_MAX_EPOCHS} epochs. "
        "Pass max_epochs, max_steps or max_time; max_epochs=-1 trains without an end."
    )
    return max(DEFAULT_MAX_EPOCHS, settings.min_epochs or 0), (warning,)


def _min_epochs(settings: TrainerSettings) -> int:
    return _or(settings.min_epochs, 1 if settings.min_steps is not None else 0)


def _limits(settings: TrainerSettings, trial: int) -> list[Limit]:
    given = (
        settings.limit_train_batches,
        settings.limit_val_batches,
        settings.limit_test_batches,
        settings.limit_predict_batches,
    )
    return [trial or (1.0 if limit is None else limit) for limit in given]


def _sanity_steps(steps: int | None) -> int | float:
    return math.inf if steps == -1 else _or(steps, DEFAULT_SANITY_STEPS)


def _logger(settings: TrainerSettings, root: str) -> Logger | str | bool | tuple[Logger | str, ...]:
    if settings.barebones or settings.logger is False:
        return False
    if settings.fast_dev_run:
        return TrialLogger(root)
    return True if settings.logger is None else settings.logger


def _clipping(settings: TrainerSettings) -> GradientClipping | None:
    if not settings.gradient_clip_val:
        return None
    return GradientClipping(settings.gradient_clip_val, settings.gradient_clip_algorithm or ClipAlgorithm.NORM)


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
