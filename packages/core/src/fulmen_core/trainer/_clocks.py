"""The clock of validation, made from the settings: the fit's own, and the one from which a plan reads ahead."""

from __future__ import annotations

from collections.abc import Callable

from fulmen_core.loop import EpochSize, FitProgress, ValidationClock
from fulmen_core.settings import EffectiveSettings
from fulmen_interfaces import Every


def validation_clock(
    settings: EffectiveSettings,
    size: EpochSize,
    progress: FitProgress,
    *,
    agree: Callable[[bool], bool] | None = None,
    validates: bool = True,
) -> ValidationClock:
    """Return what says after which training batches validation runs. Raises ConfigurationError where it never would."""
    interval = settings.val_check_interval if validates else 1.0
    steps = size.steps_between(interval, "val_check_interval") if isinstance(interval, Every) else None
    return ValidationClock(
        interval=1.0 if isinstance(interval, Every) else interval,
        every_n_epochs=settings.check_val_every_n_epoch,
        num_batches=size.batches,
        progress=progress,
        agree=agree,
        steps=steps,
    )
