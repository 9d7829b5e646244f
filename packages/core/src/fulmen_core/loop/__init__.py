"""The loops: fit, evaluation and prediction over an explicit engine."""

from __future__ import annotations

from fulmen_core.loop._accord import agree_on, any_rank
from fulmen_core.loop._batch_pass import on_device
from fulmen_core.loop._clock import StopRule, ValidationClock
from fulmen_core.loop._configure import needs_closure, read_configuration
from fulmen_core.loop._engine import Engine, RunControl, RunParts, Transfer
from fulmen_core.loop._epoch_size import EpochSize
from fulmen_core.loop._evaluate import by_loader, evaluate, predict
from fulmen_core.loop._evaluation_names import TEST, VALIDATION
from fulmen_core.loop._fit import Fit, FitHooks
from fulmen_core.loop._hook_table import HookTable, nothing, overridden
from fulmen_core.loop._optimise import (
    AutomaticOptimisation,
    GradientSteps,
    ManualOptimisation,
    Optimisation,
    OptimiserHooks,
    SeveralOptimisers,
)
from fulmen_core.loop._profile import Profiling
from fulmen_core.loop._progress import Counter, FitProgress, Phase
from fulmen_core.loop._schedulers import SchedulerSteps
from fulmen_core.loop._signals import SignalWatch, Terminated
from fulmen_core.loop._standing import Standing, Switches
from fulmen_core.loop._steps import StepCall, StepEntry, accepted_arguments, bind_step
from fulmen_core.loop._train import sanity_check, stopping_together, train
from fulmen_core.loop._window import AccumulationWindow

__all__ = [
    "TEST",
    "VALIDATION",
    "AccumulationWindow",
    "AutomaticOptimisation",
    "Counter",
    "Engine",
    "EpochSize",
    "Fit",
    "FitHooks",
    "FitProgress",
    "GradientSteps",
    "HookTable",
    "ManualOptimisation",
    "Optimisation",
    "OptimiserHooks",
    "Phase",
    "Profiling",
    "RunControl",
    "RunParts",
    "SchedulerSteps",
    "SeveralOptimisers",
    "SignalWatch",
    "Standing",
    "StepCall",
    "StepEntry",
    "StopRule",
    "Switches",
    "Terminated",
    "Transfer",
    "ValidationClock",
    "accepted_arguments",
    "agree_on",
    "any_rank",
    "bind_step",
    "by_loader",
    "evaluate",
    "needs_closure",
    "nothing",
    "on_device",
    "overridden",
    "predict",
    "read_configuration",
    "sanity_check",
    "stopping_together",
    "train",
]
