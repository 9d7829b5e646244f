"""The callbacks that show a summary when training begins."""

from __future__ import annotations

import sys
from typing import Any, ClassVar, cast

from torch import nn

from fulmen_callbacks._problems import at_least, refuse
from fulmen_callbacks._progress._base import write_line
from fulmen_callbacks._summary._summarize import summarize
from fulmen_callbacks._summary._text import Summary
from fulmen_interfaces import Callback, CallbackRole, ModuleView, TrainerView


class ModelSummary(Callback):
    """Show the model's layers when training begins, down to `max_depth` (-1: all of them; 0: show nothing).

    With the module's `example_input_array`, the sizes of inputs and outputs and the operations of a forward pass are
    shown too. In a terminal it goes to standard output, and otherwise, as lines, to standard error.
    """

    role: ClassVar[CallbackRole | None] = CallbackRole.MODEL_SUMMARY

    def __init__(self, max_depth: int = 1, **summarize_kwargs: Any) -> None:
        refuse([at_least("max_depth", max_depth, -1)])
        self._max_depth = max_depth
        self._summarize_kwargs = summarize_kwargs

    def on_fit_start(self, trainer: TrainerView, pl_module: ModuleView) -> None:
        if self._max_depth == 0:
            return
        # on every rank, for the forward pass of a model in pieces needs all of them
        summary = summarize(cast("nn.Module", pl_module), self._max_depth)
        if trainer.is_global_zero:
            self.show(summary)

    def show(self, summary: Summary) -> None:
        """Show the summary; override it to send it elsewhere."""
        write_line(summary, file=sys.stdout if sys.stdout.isatty() else sys.stderr, flush=True)


class RichModelSummary(ModelSummary):
    """The same, drawn by Rich in terminals and notebooks. Further arguments are those of `rich.table.Table`."""

    def show(self, summary: Summary) -> None:
        if sys.stdout.isatty() or "ipykernel" in sys.modules:
            from fulmen_callbacks._summary._rich_table import show_table

            show_table(summary, self._summarize_kwargs)
        else:
            super().show(summary)
