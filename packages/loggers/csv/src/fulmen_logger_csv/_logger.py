"""The CSV logger."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from fulmen_interfaces import FolderLogger, rank_zero_experiment, rank_zero_only
from fulmen_logger_csv import _storage
from fulmen_logger_csv._writer import ExperimentWriter

_PREFIX_SEPARATOR = "-"


class CSVLogger(FolderLogger):
    """Write metrics to `save_dir/name/version_N/metrics.csv` and hyper-parameters to `hparams.yaml` beside it.

    Without a `version` the first free number is taken. With one, a file that is already there is continued. Metrics are
    held back until `save`, and at most `flush_logs_every_n_steps` steps long; a row once written survives the process.
    """

    def __init__(
        self,
        save_dir: str | os.PathLike[str],
        name: str | None = "fulmen_logs",
        version: int | str | None = None,
        prefix: str = "",
        flush_logs_every_n_steps: int = 100,
    ) -> None:
        super().__init__(save_dir, name, version, folders=_storage.folders)
        self._prefix = prefix
        self._flush_every = flush_logs_every_n_steps
        self._experiment: ExperimentWriter | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer of this version, for metrics that do not come from `self.log`; silent on all ranks but zero."""
        if self._experiment is None:
            self._experiment = ExperimentWriter(self.log_dir)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if self._prefix:
            metrics = {f"{self._prefix}{_PREFIX_SEPARATOR}{name}": value for name, value in metrics.items()}
        self.experiment.log_metrics(metrics, step)
        if step is not None and (step + 1) % self._flush_every == 0:
            self.save()

    @rank_zero_only
    def log_hyperparams(self, params: Any = None, *args: Any, **kwargs: Any) -> None:
        self.experiment.log_hparams(params)

    @rank_zero_only
    def save(self) -> None:
        if self._experiment is not None:
            self._experiment.save()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._experiment is not None:
            self._experiment.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file behind: a copy in another process opens its own."""
        self.save()
        return {**self.__dict__, "_experiment": None}
