"""Loggers: where metrics and hyper-parameters are written."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from fulmen_interfaces._rank import get_rank

if TYPE_CHECKING:
    from torch import nn

    from fulmen_interfaces._callback import CheckpointCallback

L = TypeVar("L")
E = TypeVar("E")


class Logger(ABC):
    """Base of all loggers. The run calls every method on rank zero only, with plain numbers."""

    ends_run_on_failure: bool = False
    """Whether an error of this logger ends the run. If not, it is reported, and the logger left out from then on."""

    @property
    @abstractmethod
    def name(self) -> str | None:
        """Name of the experiment; part of default paths."""

    @property
    @abstractmethod
    def version(self) -> int | str | None:
        """Version of the experiment; part of default paths."""

    @abstractmethod
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record metrics of one step."""

    @abstractmethod
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Record the hyper-parameters of the run, a mapping or a namespace."""

    @property
    def experiment(self) -> Any:
        """The object of the underlying library."""
        return None

    @property
    def save_dir(self) -> str | None:
        """Directory under which it writes; None where it writes no files."""
        return None

    @property
    def root_dir(self) -> str | None:
        """Directory of all versions of the experiment."""
        return None

    @property
    def log_dir(self) -> str | None:
        """Directory of this version; checkpoints go beside it by default."""
        return None

    @property
    def group_separator(self) -> str:
        """What parts the groups in a metric's name."""
        return "/"

    def log_graph(self, model: nn.Module, input_array: Any = None) -> None:
        """Record the model's graph, where that is possible."""

    def after_save_checkpoint(self, checkpoint_callback: CheckpointCallback) -> None:
        """A checkpoint was written; a logger that keeps artifacts may take it."""

    def save(self) -> None:
        """Write what is held back. Called after each flush of metrics and at the end."""

    def finalize(self, status: str) -> None:
        """End the run with `success`, `interrupted` or `failed`."""
        self.save()


class SilentExperiment:
    """Stands for `experiment` on ranks that write nothing: whatever is called does nothing, to any depth."""

    def __getattr__(self, name: str) -> SilentExperiment:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> SilentExperiment:
        return self


def rank_zero_experiment(experiment: Callable[[L], E]) -> Callable[[L], E]:
    """Make the getter of a logger's `experiment`, below `@property`, return a silent one on every rank but zero."""

    @functools.wraps(experiment)
    def on_rank_zero(logger: L) -> E:
        return experiment(logger) if get_rank() == 0 else cast("E", SilentExperiment())

    return on_rank_zero
