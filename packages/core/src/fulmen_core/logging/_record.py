"""One logged metric: what its first use fixed, and its values since."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fulmen_core.logging._accumulators import Accumulator, Value, WeightedSum
from fulmen_interfaces import LoggingError

REDUCTION = 5
"""The place of `reduce_fx` in a record's key."""


@dataclass(frozen=True)
class RecordOptions:
    """What the first `log` of a name in a hook fixed."""

    name: str
    on_step: bool
    on_epoch: bool
    prog_bar: bool
    logger: bool
    sync_dist: bool
    sync_dist_group: Any
    rank_zero_only: bool
    enable_graph: bool
    suffix: str
    """`/dataloader_idx_1` where several evaluation loaders log the same name."""

    @property
    def forked(self) -> bool:
        """Whether step and epoch values go under keys of their own."""
        return self.on_step and self.on_epoch

    @property
    def key(self) -> str:
        """The name under which callbacks find the newest value."""
        return self.name + self.suffix

    @property
    def step_key(self) -> str:
        """The key of step values."""
        return f"{self.name}_step{self.suffix}" if self.forked else self.key

    @property
    def epoch_key(self) -> str:
        """The key of epoch values."""
        return f"{self.name}_epoch{self.suffix}" if self.forked else self.key


class Record:
    """The values of one metric logged in one hook."""

    __slots__ = (
        *("accumulator", "dtype", "fresh", "keeps_last", "key", "last", "live", "metric", "options", "shown_at_once"),
        *("updated", "weighted"),
    )

    def __init__(
        self,
        options: RecordOptions,
        accumulator: Accumulator | None,
        metric: Any = None,
        *,
        shown_at_once: bool = False,
    ) -> None:
        self.options = options
        self.accumulator = accumulator
        self.metric = metric
        """The torchmetrics object, where one is logged; it accumulates by itself."""
        self.weighted = isinstance(accumulator, WeightedSum) and accumulator.mean
        """Whether a batch size is needed."""
        self.dtype = torch.get_default_dtype()
        self.shown_at_once = shown_at_once and metric is None
        """Whether the newest value is shown before the epoch's values are taken."""
        self.keeps_last = options.on_step or self.shown_at_once
        """Whether the newest value is wanted."""
        self.last: Value | None = None
        """The newest value, where it is wanted."""
        self.updated = False
        """Whether it was logged since the epoch's values were last taken."""
        self.fresh = False
        """Whether the newest value was not sent to the loggers yet."""
        self.live = False
        """Whether the newest value is newer than what `Results` keeps under its key."""
        self.key: tuple[Any, ...] = ()
        """The arguments of `log` under which the recorder finds it."""

    @property
    def reduce_fx(self) -> str | Callable[..., Any]:
        """How its values become one, as the user wrote it."""
        wanted: str | Callable[..., Any] = self.key[REDUCTION]
        return wanted

    @property
    def loader_idx(self) -> int | None:
        """The evaluation loader whose batches it was logged for, where there are several."""
        loader_idx: int | None = self.key[-1]
        return loader_idx

    def add(self, value: Any, weight: float) -> None:
        """Take a value."""
        self.updated = self.fresh = self.live = True
        if self.metric is not None:
            if self.options.on_step:
                self.last = _metric_step_value(self.metric)
            return
        plain = as_value(self.options.name, value, keep_graph=self.options.enable_graph)
        if self.keeps_last:
            self.last = plain
        if self.accumulator is not None:
            self.accumulator.add(plain.detach() if isinstance(plain, Tensor) else plain, weight)

    def show(self, value: Any) -> None:
        """Take a value as the newest, but not into account."""
        if self.metric is None and self.options.on_step:
            self.last = as_value(self.options.name, value, keep_graph=self.options.enable_graph)
            self.fresh = self.live = True

    def take_epoch_value(self, *, alone: bool = True) -> Value:
        """Return the epoch's value and start anew; a metric is left to `Results.reset_metrics`.

        A metric computes over all processes, unless this one runs `alone`.
        """
        self.updated = False
        if self.metric is not None:
            return as_value(self.options.name, _alone(self.metric) if alone else _computed(self.metric))
        if self.accumulator is None:
            raise LoggingError(f"{self.options.name!r} is logged per step only and has no value for the epoch.")
        value = self.accumulator.compute()
        self.accumulator.reset()
        return value

    def as_tensor(self, value: Value) -> Tensor:
        """Return a value as callbacks see it: a scalar tensor."""
        return value if isinstance(value, Tensor) else torch.tensor(value, dtype=self.dtype)


def as_value(name: str, value: Any, *, keep_graph: bool = False) -> Value:
    """Return a number for what lies in host memory, and a detached copy for what lies on a device.

    With `keep_graph` a tensor is returned as it is, wherever it lies.
    """
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise LoggingError(
                f"`self.log({name!r}, ...)` was given a tensor of shape {tuple(value.shape)}, but one value is needed. "
                f"Log `.mean()` or another reduction of it, or its elements one by one."
            )
        if keep_graph:
            return value.reshape(())
        return value.item() if value.is_cpu else value.detach().clone().reshape(())
    if isinstance(value, (float, int)):
        return value
    try:
        if hasattr(value, "__float__"):  # numbers of other libraries; text that looks like a number is none
            return float(value)
    except (TypeError, ValueError):
        pass
    raise LoggingError(
        f"`self.log({name!r}, {value!r})`: a {type(value).__name__} cannot be logged. "
        "Log a number, a tensor with one element or a torchmetrics metric; use `log_dict` for several values."
    )


def _alone(metric: Any) -> Any:
    """Compute over this process, even where processes are still joined by an earlier run."""
    available, metric.distributed_available_fn = metric.distributed_available_fn, _never
    try:
        return _computed(metric)
    finally:
        metric.distributed_available_fn = available


def _never() -> bool:
    return False


def _computed(metric: Any) -> Any:
    """Compute, over all processes; without a complaint where only the others had something to add."""
    with warnings.catch_warnings():
        if not metric.update_called:
            warnings.simplefilter("ignore")
        return metric.compute()


def _metric_step_value(metric: Any) -> Value | None:
    """Return what the metric's `forward` returned last; None where only `update` was called."""
    value = metric._forward_cache
    return None if value is None else as_value(type(metric).__name__, value)
