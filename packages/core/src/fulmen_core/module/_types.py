"""Names for what a module's methods return, for those who annotate theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

STEP_OUTPUT: TypeAlias = Tensor | Mapping[str, Any] | None
"""A step: the loss, a dict with it, or nothing."""
TRAIN_DATALOADERS: TypeAlias = Any
"""A training hook: one loader, or several in any nesting."""
EVAL_DATALOADERS: TypeAlias = Any
"""A hook of an evaluation: one loader, or several in a list."""
LRSchedulerTypeUnion: TypeAlias = LRScheduler | ReduceLROnPlateau
OptimizerLRScheduler: TypeAlias = (
    Optimizer
    | Sequence[Optimizer]
    | tuple[Sequence[Optimizer], Sequence[LRSchedulerTypeUnion | Mapping[str, Any]]]
    | Mapping[str, Any]
    | Sequence[Mapping[str, Any]]
    | None
)
"""`configure_optimizers`, in every form."""
