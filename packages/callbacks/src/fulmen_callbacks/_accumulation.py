"""Accumulation windows whose size changes with the epoch."""

from __future__ import annotations

from collections.abc import Mapping

from fulmen_callbacks._problems import refuse
from fulmen_interfaces import Callback, ModuleView, Problem, TrainerView


class GradientAccumulationScheduler(Callback):
    """Change the number of batches in an accumulation window at given epochs.

    `{4: 8}` accumulates 8 batches from epoch 4 on, counted from 0, and 1 before. It takes the place of
    `Trainer(accumulate_grad_batches=...)`, and together with that, or with manual optimisation, it is refused.
    `trainer.estimated_stepping_batches` counts with it.
    """

    def __init__(self, scheduling: Mapping[int, int]) -> None:
        refuse([_mistake(scheduling)])
        self.scheduling = {0: 1, **scheduling}
        self.epochs = sorted(self.scheduling)

    def accumulation_at(self, epoch: int) -> int:
        """Return the batches of a full window in that epoch, from 0."""
        return self.scheduling[max(begin for begin in self.epochs if begin <= epoch)]

    def going_to_accumulate_grad_batches(self) -> bool:
        """Return whether any window holds more than one batch."""
        return any(size > 1 for size in self.scheduling.values())

    def get_accumulate_grad_batches(self, epoch: int) -> int:
        """Return the batches of a full window in that epoch, from 0."""
        return self.accumulation_at(epoch)

    def setup(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        if stage == "fit" and trainer.accumulate_grad_batches != 1:
            reason = f"The {type(self).__name__} among the callbacks sets it, too."
            remedy = f"Leave it out, or write scheduling={{0: {trainer.accumulate_grad_batches}}}."
            refuse([Problem("accumulate_grad_batches", trainer.accumulate_grad_batches, reason, remedy)])

    def on_train_epoch_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        trainer.accumulate_grad_batches = self.accumulation_at(trainer.current_epoch)


def _mistake(scheduling: object) -> Problem | None:
    remedy = "Write for example scheduling={0: 1, 4: 8}."
    if not isinstance(scheduling, Mapping) or not scheduling:
        return Problem("scheduling", scheduling, "It must tell the sizes of windows by epoch.", remedy)
    if not all(type(epoch) is int and epoch >= 0 for epoch in scheduling):
        return Problem("scheduling", scheduling, "Epochs are whole numbers from 0 on.", remedy)
    if not all(type(size) is int and size >= 1 for size in scheduling.values()):
        return Problem("scheduling", scheduling, "A window holds a whole number of batches, one at least.", remedy)
    return None
