"""`self.log` and `self.log_dict`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from fulmen_core.module._attached import AttachedModule
from fulmen_interfaces import LoggingError


class LoggingMethods(AttachedModule):
    """A module whose values reach loggers, callbacks and the progress bar."""

    def log(  # noqa: PLR0913 - the arguments are those that users know
        self,
        name: str,
        value: Any,
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: str | Callable[..., Any] = "mean",
        enable_graph: bool = False,
        sync_dist: bool = False,
        sync_dist_group: Any | None = None,
        add_dataloader_idx: bool = True,
        batch_size: int | None = None,
        metric_attribute: str | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """Log a number, a tensor with one element, or a torchmetrics metric.

        `on_step` keeps the newest value, `on_epoch` reduces all of an epoch by `reduce_fx` ("mean", "sum", "min", "max"
        or a function of the stacked values), a mean being weighted by the batch's size. With both, the keys are
        `name_step` and `name_epoch`. Left out, they follow the hook: per step in training steps, per epoch elsewhere.
        Values stay on their device until they are written.

        Raises LoggingError where the hook, the name or the value allow no such logging.
        """
        if self._link is None:
            self._log_without_trainer(name)
            return
        self._link.recorder.log(
            name, value, prog_bar, logger, on_step, on_epoch, reduce_fx, enable_graph, sync_dist, sync_dist_group,
            add_dataloader_idx, batch_size, metric_attribute, rank_zero_only,
        )  # fmt: skip

    def log_dict(self, dictionary: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        """Log several values at once: a mapping or a torchmetrics collection; the rest is as for `log`."""
        if not hasattr(dictionary, "items"):  # a collection of torchmetrics has them, too, and is no mapping
            raise LoggingError(
                f"`self.log_dict` was given a {type(dictionary).__name__}. Give a dict of values by name, or a "
                "collection of torchmetrics; `self.log` logs a single value."
            )
        for name, value in dictionary.items():
            self.log(name, value, *args, **kwargs)

    def _log_without_trainer(self, name: str) -> None:
        warnings.warn(
            f"`self.log({name!r}, ...)` was called outside of a run and had no effect.", UserWarning, stacklevel=3
        )
