"""Tuning: finding out by trial runs what a run should be made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


class Tuner(Protocol):
    """Makes trial runs with what a trainer is made of, and leaves everything else as it was."""

    def lr_find(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Train with growing learning rates, and return how the loss went."""
        ...

    def scale_batch_size(self, model: Any, *args: Any, **kwargs: Any) -> int | None:
        """Return the largest batch size that memory suffices for."""
        ...


@runtime_checkable
class SupportsTuning(Protocol):
    """A callback that finds out by trial runs what a run should be made with, and changes module or data to it."""

    def tune(self, trainer: Any, pl_module: Any, stage: str, data: Mapping[str, Any]) -> None:
        """Make trial runs. Called in every process that calls the trainer, before the run of that stage is launched.

        `data` holds what the trainer's method was given, by argument: some of `train_dataloaders`, `val_dataloaders`
        and `dataloaders`, and always `datamodule`. Not called where a fit goes on from a checkpoint.
        """
        ...
