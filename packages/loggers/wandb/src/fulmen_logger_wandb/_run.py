"""The run of Weights & Biases that a logger writes to."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fulmen_interfaces import rank_zero_warn

if TYPE_CHECKING:
    from wandb import Run

STEP = "trainer/global_step"
_LETTERS = string.ascii_lowercase + string.digits

_begun: set[str] = set()  # ids of the runs that loggers of this process began; others are the user's


def foreign_run() -> Run | None:
    """Return the run that the user began with `wandb.init` and that still goes on."""
    import wandb

    return None if wandb.run is None or wandb.run.id in _begun else wandb.run


def new_id() -> str:
    """Return an id for a new run."""
    return "".join(secrets.choice(_LETTERS) for _ in range(8))


def begin(settings: Mapping[str, Any], run_id: str) -> Run:
    """Return the user's run where it has this id, else a new one. Metrics are drawn over the steps of the trainer."""
    import wandb

    run = wandb.run
    if run is not None and run.id == run_id:
        if run_id not in _begun:
            rank_zero_warn("WandbLogger writes to the run that is in progress. For one of its own: `wandb.finish()`.")
    else:
        several = {} if run is None else {"reinit": "create_new"}  # the other logger's run goes on
        run = wandb.init(**{**several, **settings, "id": run_id})
        _begun.add(run.id)
    return with_steps(run)


def attach(run_id: str) -> Run:
    """Return a run that another process of this machine began."""
    import wandb

    return with_steps(wandb.attach(run_id=run_id))  # type: ignore[attr-defined]  # public, but not in its stubs


def with_steps(run: Run) -> Run:
    """Have all metrics drawn over the steps of the trainer."""
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP, step_sync=True)
    return run
