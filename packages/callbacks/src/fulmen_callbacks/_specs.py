"""What the entry points lead to."""

from __future__ import annotations

from fulmen_callbacks._checkpoint import ModelCheckpoint
from fulmen_callbacks._progress import RichProgressBar
from fulmen_callbacks._summary import RichModelSummary
from fulmen_callbacks._timer import Timer
from fulmen_interfaces import CallbackRole, CallbackSpec

MODEL_CHECKPOINT_SPEC = CallbackSpec(
    name="model_checkpoint",
    create=ModelCheckpoint,
    summary="Checkpoints: the best, the newest, by steps, epochs or time",
    role=CallbackRole.CHECKPOINT,
)

PROGRESS_BAR_SPEC = CallbackSpec(
    name="progress_bar",
    create=RichProgressBar,
    summary="A progress bar in terminals and notebooks, a few lines in log files",
    role=CallbackRole.PROGRESS_BAR,
)

MODEL_SUMMARY_SPEC = CallbackSpec(
    name="model_summary",
    create=RichModelSummary,
    summary="A table of the model's layers when training begins",
    role=CallbackRole.MODEL_SUMMARY,
)

TIMER_SPEC = CallbackSpec(
    name="timer",
    create=Timer,
    summary="Measures how long stages take, and ends training when the time is up",
    role=CallbackRole.TIMER,
)
