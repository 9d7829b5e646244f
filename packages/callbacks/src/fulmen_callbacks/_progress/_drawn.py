"""A progress bar that draws: it follows the run and tells a painter, ten times a second at most."""

from __future__ import annotations

import math
import sys
from abc import abstractmethod
from time import monotonic
from typing import Any

from fulmen_callbacks._problems import at_least, refuse
from fulmen_callbacks._progress._base import Batches, ProgressBar
from fulmen_callbacks._progress._painter import Bar, Metrics, Painter
from fulmen_callbacks._progress._plain import PlainPainter
from fulmen_interfaces import ModuleView, RunningStage, TrainerView

_SECONDS_BETWEEN_DRAWINGS = 0.1
_DRAWING_SHARE = 0.02
"""Drawing may take this share of the time: where it is slow, it happens less often."""


class DrawnProgressBar(ProgressBar):
    """A progress bar on some kind of output.

    A batch costs no more than a look at the clock. Metrics are read when something is drawn: at most ten times a
    second, and not before `refresh_rate` batches (0 turns the bar off). With `leave` the bar of every epoch stays on
    the screen. Where the output is no terminal there are few plain lines instead.
    """

    def __init__(self, refresh_rate: int = 1, leave: bool = False) -> None:
        super().__init__()
        refuse([at_least("refresh_rate", refresh_rate, 0)])
        self._refresh_rate = refresh_rate
        self._leave = leave
        self._wanted = refresh_rate > 0
        self._painter: Painter | None = None
        self._module: ModuleView | None = None
        self._due = math.inf
        self._due_batch = 0
        self._done = 0
        """Training batches of this epoch."""
        self._evaluated = 0
        """Batches of the present evaluation."""
        self._epoch_is_open = False
        self._fitting = False

    @property
    def refresh_rate(self) -> int:
        """Batches between drawings, at least."""
        return self._refresh_rate

    @property
    def is_enabled(self) -> bool:
        """Whether it shows anything."""
        return self._wanted

    @property
    def is_disabled(self) -> bool:
        """Whether it shows nothing."""
        return not self._wanted

    def is_on_a_screen(self) -> bool:
        """Return whether standard output is a terminal or a notebook, where lines may be drawn over."""
        return sys.stdout is not None and (sys.stdout.isatty() or "ipykernel" in sys.modules)

    @abstractmethod
    def make_painter(self) -> Painter:
        """Return what draws on the terminal or notebook."""

    def disable(self) -> None:
        self._wanted = False
        self._end()

    def enable(self) -> None:
        self._wanted = self._refresh_rate > 0

    def print(self, *args: Any, **kwargs: Any) -> None:
        if self._painter is None or "file" in kwargs:
            super().print(*args, **kwargs)
        else:
            self._painter.print(*args, **kwargs)

    def setup(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self._module = pl_module
        self._fitting = stage == "fit"
        self._end()

    def teardown(self, trainer: TrainerView, pl_module: ModuleView, stage: str) -> None:
        self._end()

    def on_exception(self, trainer: TrainerView, pl_module: ModuleView, exception: BaseException) -> None:
        self._end()

    def on_sanity_check_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        total = sum(trainer.num_sanity_val_batches)
        self._open(Bar.SANITY, self.sanity_check_description, total)

    def on_sanity_check_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._close(Bar.SANITY, self._evaluated, keep=False)

    def on_train_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._due = 0.0 if self._wanted else math.inf

    def on_train_epoch_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._begin_epoch(trainer, done=0)

    def on_train_batch_end(
        self, trainer: TrainerView, pl_module: ModuleView, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._done = batch_idx + 1
        if monotonic() < self._due or batch_idx < self._due_batch:
            return
        if not self._epoch_is_open:  # resumed in mid-epoch: that epoch does not start again
            self._begin_epoch(trainer, batch_idx)
        self._draw(Bar.TRAIN, batch_idx + 1)

    def on_train_epoch_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if self._epoch_is_open:
            self._close(Bar.TRAIN, self._done, keep=True)
            self._epoch_is_open = False

    def on_train_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._end()

    def on_validation_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if trainer.running_stage is not RunningStage.SANITY_CHECKING:
            self._draw_again()
            self._open(Bar.VALIDATION, self.validation_description, self.total_val_batches)

    def on_validation_batch_end(
        self,
        trainer: TrainerView,
        pl_module: ModuleView,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._evaluated += 1
        if monotonic() >= self._due:
            sanity = trainer.running_stage is RunningStage.SANITY_CHECKING
            self._draw(Bar.SANITY if sanity else Bar.VALIDATION, self._evaluated)

    def on_validation_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if trainer.running_stage is not RunningStage.SANITY_CHECKING:
            if self._fitting:
                self._close(Bar.VALIDATION, self._evaluated, keep=not self._epoch_is_open)
                self._draw_again()
            else:
                self._finish(Bar.VALIDATION)

    def on_test_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._open(Bar.TEST, self.test_description, self.total_test_batches)

    def on_test_batch_end(
        self,
        trainer: TrainerView,
        pl_module: ModuleView,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._evaluated += 1
        if monotonic() >= self._due:
            self._draw(Bar.TEST, self._evaluated)

    def on_test_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._finish(Bar.TEST)

    def on_predict_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._open(Bar.PREDICT, self.predict_description, self.total_predict_batches)

    def on_predict_batch_end(
        self,
        trainer: TrainerView,
        pl_module: ModuleView,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._evaluated += 1
        if monotonic() >= self._due:
            self._draw(Bar.PREDICT, self._evaluated)

    def on_predict_end(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        self._finish(Bar.PREDICT)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the screen behind: a copy in another process has its own."""
        return {**self.__dict__, "_painter": None, "_trainer": None, "_module": None}

    def _begin_epoch(self, trainer: TrainerView, done: int) -> None:
        last = f"/{trainer.max_epochs - 1}" if trainer.max_epochs is not None and trainer.max_epochs > 0 else ""
        self._due_batch = 0
        self._epoch_is_open = True
        self._open(Bar.TRAIN, f"Epoch {trainer.current_epoch}{last}", self.total_train_batches, done)

    def _open(self, bar: Bar, description: str, total: Batches, done: int = 0) -> None:
        if bar is not Bar.TRAIN:
            self._evaluated = 0
        if not self._wanted:
            return
        if self._painter is None:
            self._painter = self.make_painter() if self.is_on_a_screen() else PlainPainter()
        self._painter.open(bar, description, total if math.isfinite(total) else None, done)
        self._due = 0.0

    def _draw(self, bar: Bar, done: int) -> None:
        if self._painter is None:
            return
        began = monotonic()
        self._painter.update(bar, done, self._metrics())
        now = monotonic()
        self._due = now + max(_SECONDS_BETWEEN_DRAWINGS, (now - began) / _DRAWING_SHARE)
        self._due_batch = done - 1 + self._refresh_rate

    def _draw_again(self) -> None:
        """Show how training stands at once: its next batch may be long in coming."""
        if self._epoch_is_open:
            self._draw(Bar.TRAIN, self._done)

    def _close(self, bar: Bar, done: int, *, keep: bool) -> None:
        if self._painter is not None:
            self._painter.close(bar, done, self._metrics(), keep=keep)

    def _finish(self, bar: Bar) -> None:
        """End the bar of an evaluation that is a run of its own: its results are printed below it."""
        self._close(bar, self._evaluated, keep=True)
        self._end()

    def _metrics(self) -> Metrics:
        return {} if self._module is None else self.get_metrics(self.trainer, self._module)

    def _end(self) -> None:
        self._due = math.inf
        self._epoch_is_open = False
        if self._painter is not None:
            self._painter.stop()
            self._painter = None
