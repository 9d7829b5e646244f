"""The moments at which step metrics are due."""

from __future__ import annotations

from fulmen_interfaces import TrainerView


class StepClock:
    """Tells, before or after a training batch, whether metrics of its step are due: every `log_every_n_steps` steps.

    Of several batches that make one step, the first that asks is told.
    """

    def __init__(self) -> None:
        self._told = -1

    def before_batch(self, trainer: TrainerView) -> int | None:
        """Return the number of the step that begins, if it is due."""
        return self._due(trainer, trainer.logging_step)

    def after_batch(self, trainer: TrainerView) -> int | None:
        """Return the number of the step that ended, if it is due."""
        return self._due(trainer, trainer.logging_step - 1)

    def _due(self, trainer: TrainerView, step: int) -> int | None:
        every = trainer.log_every_n_steps
        if step < 0 or step == self._told or not every or (step + 1) % every:
            return None
        self._told = step
        return step
