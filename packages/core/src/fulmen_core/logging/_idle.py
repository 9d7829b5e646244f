"""Batches that a rank without data repeats so that the others can go on: what is logged in them does not count."""

from __future__ import annotations

from typing import Any

from torch import nn

from fulmen_core.logging._metrics import metric_states, metrics_of, restore_metric_states
from fulmen_core.logging._recorder import Recorder


class IdleBatches:
    """Keeps them out of the epoch's values, torchmetrics objects in the module included."""

    def __init__(self, recorder: Recorder, module: nn.Module) -> None:
        self._recorder = recorder
        self._module = module
        self._states: dict[str, Any] | None = None

    def begin(self) -> None:
        """Such a batch begins."""
        self._recorder.muted = True
        if metrics_of(self._module):
            self._states = metric_states(self._module, copied=True)

    def stepped(self) -> None:
        """Its step is done: nothing of it may be in a checkpoint."""
        if self._states is not None:
            restore_metric_states(self._module, self._states)
            self._states = None

    def end(self) -> None:
        """It is over."""
        self.stepped()
        self._recorder.muted = False
