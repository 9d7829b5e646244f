"""Logging: records of what was logged, their reduction, and the loggers they go to."""

from __future__ import annotations

from fulmen_core.logging._accumulators import Value
from fulmen_core.logging._idle import IdleBatches
from fulmen_core.logging._loggers import LoggerGroup
from fulmen_core.logging._make import make_loggers
from fulmen_core.logging._metrics import metric_states, restore_metric_states
from fulmen_core.logging._policy import LOG_POLICIES, LogPolicy
from fulmen_core.logging._recorder import Recorder, RecordGroup, Scope, SilentRecorder
from fulmen_core.logging._results import Results, numbers
from fulmen_core.logging._state import restore_training_records, training_records_state
from fulmen_core.logging._trial import TrialLogger

__all__ = [
    "LOG_POLICIES",
    "IdleBatches",
    "LogPolicy",
    "LoggerGroup",
    "RecordGroup",
    "Recorder",
    "Results",
    "Scope",
    "SilentRecorder",
    "TrialLogger",
    "Value",
    "make_loggers",
    "metric_states",
    "numbers",
    "restore_metric_states",
    "restore_training_records",
    "training_records_state",
]
