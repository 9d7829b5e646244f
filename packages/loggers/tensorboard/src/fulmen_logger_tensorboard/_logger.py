"""The TensorBoard logger."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fulmen_interfaces import (
    FolderLogger,
    PlainValue,
    plain_params,
    rank_zero_experiment,
    rank_zero_only,
)
from fulmen_logger_tensorboard._folders import folders, write_text
from fulmen_logger_tensorboard._hparams_tab import write_hparams_tab

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.tensorboard import SummaryWriter

_PREFIX_SEPARATOR = "-"


class TensorBoardLogger(FolderLogger):
    """Write metrics, graphs and hyper-parameters to event files in `save_dir/name/version_N/sub_dir`.

    Without a `version` the first free number is taken; with one, event files are added to what is there.
    Hyper-parameters go to `hparams.yaml` and to the HPARAMS tab; with `default_hp_metric` that tab gets a metric
    `hp_metric` of -1 until one of that name is logged. `log_graph` records the graph of modules with an
    `example_input_array`. Further arguments go to `torch.utils.tensorboard.SummaryWriter`.
    """

    NAME_HPARAMS_FILE = "hparams.yaml"

    def __init__(
        self,
        save_dir: str | os.PathLike[str],
        name: str | None = "fulmen_logs",
        version: int | str | None = None,
        log_graph: bool = False,
        default_hp_metric: bool = True,
        prefix: str = "",
        sub_dir: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(save_dir, name, version, folders=folders)
        self._log_graph = log_graph
        self._default_hp_metric = default_hp_metric
        self._prefix = prefix
        self._sub_dir = None if sub_dir is None else os.fspath(sub_dir)
        self._writer_settings = kwargs
        self._writer: SummaryWriter | None = None
        self._hparams_written = True
        self._hp_metric_written = False
        self.hparams: dict[str, PlainValue] = {}

    @property
    def sub_dir(self) -> str | None:
        """The folder below that of the version in which event files lie."""
        return self._sub_dir

    @property
    def log_dir(self) -> str:
        folder = super().log_dir
        folder = os.path.join(folder, self._sub_dir) if self._sub_dir else folder
        return os.path.expanduser(os.path.expandvars(folder))

    @property
    @rank_zero_experiment
    def experiment(self) -> SummaryWriter:
        """The `SummaryWriter`, for all that is no number: images, histograms, figures. Silent on all ranks but zero."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(log_dir=self.log_dir, **self._writer_settings)
        return self._writer

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record numbers; a mapping of numbers becomes several curves in one chart."""
        for name, value in metrics.items():
            if isinstance(value, Mapping):
                self.experiment.add_scalars(self._tag(name), value, step)
            else:
                self.experiment.add_scalar(self._tag(name), value, step)

    @rank_zero_only
    def log_hyperparams(
        self,
        params: Any = None,
        metrics: Mapping[str, float] | float | None = None,
        step: int | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Record hyper-parameters, and the metrics to compare runs by: names with first values, or one number."""
        self.hparams.update(plain_params(params))
        self._hparams_written = False
        if metrics is None:
            metrics = {} if self._hp_metric_written or not self._default_hp_metric else {"hp_metric": -1.0}
        elif not isinstance(metrics, Mapping):
            metrics = {"hp_metric": metrics}
        if metrics:
            self._hp_metric_written = True
            self.log_metrics(metrics, step or 0)
            shown = {self._tag(name): value for name, value in metrics.items()}
            write_hparams_tab(self.experiment, self.hparams, shown)

    @rank_zero_only
    def log_graph(self, model: nn.Module, input_array: Any = None) -> None:
        if not self._log_graph:
            return
        if input_array is None:
            input_array = getattr(model, "example_input_array", None)
        if input_array is None:
            warnings.warn("No graph is logged: the module's `example_input_array` is not set.", stacklevel=2)
            return
        from fulmen_logger_tensorboard._graph import write_graph

        try:
            write_graph(self.experiment, model, input_array)
        except Exception as error:  # tracing meets the user's code, and no graph is a reason to stop
            warnings.warn(f"No graph is logged: tracing failed: {type(error).__name__}: {error}.", stacklevel=2)

    @rank_zero_only
    def save(self) -> None:
        if not self._hparams_written:
            self._write_hparams()
        if self._writer is not None:
            self._writer.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file behind: a copy in another process opens its own."""
        if self._writer is not None:
            self._writer.flush()
        return {**self.__dict__, "_writer": None}

    def _tag(self, name: str) -> str:
        return f"{self._prefix}{_PREFIX_SEPARATOR}{name}" if self._prefix else name

    def _write_hparams(self) -> None:
        import yaml  # type: ignore[import-untyped]  # it ships no types

        text = yaml.safe_dump(self.hparams, sort_keys=True, allow_unicode=True)
        write_text(self.log_dir, self.NAME_HPARAMS_FILE, text)
        self._hparams_written = True
