"""The loggers of a run as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from fulmen_core.logging._accumulators import Value
from fulmen_core.logging._results import numbers
from fulmen_interfaces import CheckpointCallback, Logger, RunStatus, rank_zero_warn

_FINAL_WORD = {RunStatus.FINISHED: "success", RunStatus.INTERRUPTED: "interrupted", RunStatus.FAILED: "failed"}


class LoggerGroup:
    """Sends to every logger, on rank zero only.

    One that fails is reported once and then left alone, or ends the run where it asks for that.
    """

    def __init__(self, loggers: Sequence[Logger], *, is_global_zero: bool) -> None:
        self.loggers = tuple(loggers)
        self._working = list(loggers) if is_global_zero else []

    def __bool__(self) -> bool:
        """Whether there is anything to send to."""
        return bool(self._working)

    def log_metrics(self, values: Mapping[str, Value], step: int | None, epoch: int | None) -> dict[str, float]:
        """Send values as numbers and return them; a logged `step` or `epoch` takes the place of ours."""
        if not values:
            return {}
        plain = numbers(values)
        if epoch is not None:
            plain.setdefault("epoch", epoch)
        at = plain.pop("step", step)
        self._each(lambda logger: logger.log_metrics(plain, step=None if at is None else int(at)))
        return plain

    def log_hyperparams(self, params: Mapping[str, Any]) -> None:
        """Send hyper-parameters."""
        self._each(lambda logger: logger.log_hyperparams(params))

    def log_graph(self, module: nn.Module) -> None:
        """Let loggers that were asked to record the module's graph do so."""
        self._each(lambda logger: logger.log_graph(module))

    def save(self) -> None:
        """Write what is held back."""
        self._each(lambda logger: logger.save())

    def after_save_checkpoint(self, callback: CheckpointCallback) -> None:
        """Tell of a checkpoint that was written."""
        self._each(lambda logger: logger.after_save_checkpoint(callback))

    def finalize(self, status: RunStatus) -> None:
        """End the run."""
        self._each(lambda logger: logger.finalize(_FINAL_WORD.get(status, status.value)))

    def _each(self, call: Callable[[Logger], None]) -> None:
        for logger in list(self._working):
            try:
                call(logger)
            except Exception as error:
                self._working.remove(logger)
                if logger.ends_run_on_failure:
                    raise
                rank_zero_warn(
                    f"The logger {type(logger).__name__} failed and is left out from here on: "
                    f"{type(error).__name__}: {error}"
                )
