"""What all progress bars know."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from fulmen_interfaces import Callback, CallbackRole, ModuleView, RunningStage, TrainerView

Batches = int | float


class ProgressBar(Callback):
    """Base of progress bars. It shows nothing; what it offers are numbers, descriptions and the metrics to show.

    A bar of one's own overrides the hooks it needs, and calls `super().setup(...)`.
    """

    role: ClassVar[CallbackRole | None] = CallbackRole.PROGRESS_BAR

    def __init__(self) -> None:
        self._trainer: TrainerView | None = None

    @property
    def trainer(self) -> TrainerView:
        """The trainer of the present run."""
        if self._trainer is None:
            raise RuntimeError(
                f"{type(self).__name__} knows no trainer: no run has begun yet. It is there from `setup` on, "
                "which an override must call."
            )
        return self._trainer

    @property
    def sanity_check_description(self) -> str:
        """How the sanity check is called."""
        return "Sanity Checking"

    @property
    def train_description(self) -> str:
        """How training is called."""
        return "Training"

    @property
    def validation_description(self) -> str:
        """How validation is called."""
        return "Validation"

    @property
    def test_description(self) -> str:
        """How testing is called."""
        return "Testing"

    @property
    def predict_description(self) -> str:
        """How prediction is called."""
        return "Predicting"

    @property
    def total_train_batches(self) -> Batches:
        """Training batches of an epoch; `inf` where the loader has no length."""
        return self.trainer.num_training_batches

    @property
    def total_val_batches(self) -> Batches:
        """Validation batches of all loaders; 0 where this fit does not validate."""
        if self.trainer.running_stage is RunningStage.SANITY_CHECKING:
            return sum(self.trainer.num_sanity_val_batches)
        return sum(self.trainer.num_val_batches)

    @property
    def total_test_batches(self) -> Batches:
        """Test batches of all loaders."""
        return sum(self.trainer.num_test_batches)

    @property
    def total_predict_batches(self) -> Batches:
        """Prediction batches of all loaders."""
        return sum(self.trainer.num_predict_batches)

    def setup(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        self._trainer = trainer
        if not trainer.is_global_zero:
            self.disable()

    def get_metrics(self, trainer: TrainerView, pl_module: ModuleView) -> dict[str, int | str | float]:
        """Return what is shown beside the bar: the logger's version and what was logged with `prog_bar=True`.

        Called only when something is drawn. Override it to add or leave out.
        """
        return {**_version_number(trainer), **trainer.progress_bar_metrics}

    def disable(self) -> None:
        """Show nothing from now on. A bar of one's own does it in its own way."""

    def enable(self) -> None:
        """Show again."""

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on a line of its own, as the built-in does."""
        write_line(*args, **kwargs)


def write_line(*args: Any, sep: str = " ", end: str = "\n", file: Any = None, flush: bool = False) -> None:
    """Write what the built-in `print` would."""
    stream = sys.stdout if file is None else file
    stream.write(sep.join(map(str, args)) + end)
    if flush:
        stream.flush()


def _version_number(trainer: TrainerView) -> dict[str, int | str | float]:
    version = trainer.loggers[0].version if trainer.loggers else None
    if version is None:
        return {}
    return {"v_num": version[-4:] if isinstance(version, str) else version}
