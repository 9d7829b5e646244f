"""The module that users write, and its seams to the run."""

from __future__ import annotations

from fulmen_core.module._grad_norm import grad_norm
from fulmen_core.module._hooks import ModuleHooks
from fulmen_core.module._link import AttachedTrainer, RunLink
from fulmen_core.module._module import LightningModule
from fulmen_core.module._optimizer import LightningOptimizer
from fulmen_core.module._toggle import ToggledParameters, parameters_of
from fulmen_core.module._types import (
    EVAL_DATALOADERS,
    STEP_OUTPUT,
    TRAIN_DATALOADERS,
    LRSchedulerTypeUnion,
    OptimizerLRScheduler,
)

__all__ = [
    "EVAL_DATALOADERS",
    "STEP_OUTPUT",
    "TRAIN_DATALOADERS",
    "AttachedTrainer",
    "LRSchedulerTypeUnion",
    "LightningModule",
    "LightningOptimizer",
    "ModuleHooks",
    "OptimizerLRScheduler",
    "RunLink",
    "ToggledParameters",
    "grad_norm",
    "parameters_of",
]
