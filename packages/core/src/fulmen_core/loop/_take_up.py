"""Taking up what a checkpoint left, when `on_train_start` is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fulmen_core.loop._progress import Phase
from fulmen_interfaces import Hook

if TYPE_CHECKING:
    from fulmen_core.loop._fit import Fit


def take_up(fit: Fit) -> None:
    """Put back what was saved, and do what was left of the hook in which that happened."""
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
