"""Which hooks may log, and what `on_step` and `on_epoch` mean there when they are left out."""

from __future__ import annotations

from dataclasses import dataclass

from fulmen_interfaces import Hook


@dataclass(frozen=True)
class LogPolicy:
    """What logging means in one hook."""

    on_step: bool
    """Default of `on_step`; the default of `on_epoch` is its opposite."""
    per_step_allowed: bool
    """Whether the hook runs once per batch, so that a value per step makes sense."""
    shown_at_once: bool = False
    """Whether a value for the epoch is shown as soon as it is logged: the epoch is over."""


_PER_STEP = LogPolicy(on_step=True, per_step_allowed=True)
_PER_BATCH = LogPolicy(on_step=False, per_step_allowed=True)
_PER_EPOCH = LogPolicy(on_step=False, per_step_allowed=False)
_EPOCH_END = LogPolicy(on_step=False, per_step_allowed=False, shown_at_once=True)

LOG_POLICIES: dict[Hook, LogPolicy] = {
    Hook.ON_TRAIN_START: _PER_EPOCH,
    Hook.ON_TRAIN_EPOCH_START: _PER_EPOCH,
    Hook.ON_TRAIN_EPOCH_END: _EPOCH_END,
    Hook.ON_TRAIN_BATCH_START: _PER_STEP,
    Hook.TRAINING_STEP: _PER_STEP,
    Hook.ON_BEFORE_ZERO_GRAD: _PER_STEP,
    Hook.OPTIMIZER_ZERO_GRAD: _PER_STEP,
    Hook.ON_BEFORE_BACKWARD: _PER_STEP,
    Hook.BACKWARD: _PER_STEP,
    Hook.ON_AFTER_BACKWARD: _PER_STEP,
    Hook.ON_BEFORE_OPTIMIZER_STEP: _PER_STEP,
    Hook.CONFIGURE_GRADIENT_CLIPPING: _PER_STEP,
    Hook.OPTIMIZER_STEP: _PER_STEP,
    Hook.ON_TRAIN_BATCH_END: _PER_STEP,
    Hook.ON_VALIDATION_START: _PER_EPOCH,
    Hook.ON_VALIDATION_EPOCH_START: _PER_EPOCH,
    Hook.ON_VALIDATION_BATCH_START: _PER_BATCH,
    Hook.VALIDATION_STEP: _PER_BATCH,
    Hook.ON_VALIDATION_BATCH_END: _PER_BATCH,
    Hook.ON_VALIDATION_EPOCH_END: _EPOCH_END,
    Hook.ON_TEST_START: _PER_EPOCH,
    Hook.ON_TEST_EPOCH_START: _PER_EPOCH,
    Hook.ON_TEST_BATCH_START: _PER_BATCH,
    Hook.TEST_STEP: _PER_BATCH,
    Hook.ON_TEST_BATCH_END: _PER_BATCH,
    Hook.ON_TEST_EPOCH_END: _EPOCH_END,
}
"""Hooks that are absent may not log."""
