"""Learning-rate schedulers as the loop sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class LRSchedulerConfig:
    """One scheduler and when it steps: the fields are the keys of the dictionary that users return."""

    scheduler: Any
    """A `torch.optim.lr_scheduler.LRScheduler`, or anything with `step`, `state_dict` and `load_state_dict`."""
    name: str | None = None
    """Name under which a monitor logs it."""
    interval: str = "epoch"
    """`"epoch"` or `"step"`."""
    frequency: int = 1
    """It steps at every so-many-th interval."""
    reduce_on_plateau: bool = False
    """It steps with the value of `monitor`."""
    monitor: str | None = None
    """The logged metric that it watches."""
    strict: bool = True
    """Whether it is an error that the metric is missing."""
    opt_idx: int = 0
    """Position of its optimizer among those that `configure_optimizers` returned."""
