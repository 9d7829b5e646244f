"""The CSV logger."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, cast

from fulmen_interfaces import Logger, SilentExperiment, get_rank, rank_zero_only
from fulmen_logger_csv import _storage
from fulmen_logger_csv._writer import ExperimentWriter

_VERSION = re.compile(r"version_(\d+)")
_PREFIX_SEPARATOR = "-"


class CSVLogger(Logger):
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
        self._save_dir = os.fspath(save_dir)
        self._name = name or ""
        self._version = version
        self._prefix = prefix
        self._flush_every = flush_logs_every_n_steps
        self._experiment: ExperimentWriter | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> int | str:
        if self._version is None:
            self._version = self._first_free_version()
        return self._version

    @property
    def save_dir(self) -> str:
        return self._save_dir

    @property
    def root_dir(self) -> str:
        return os.path.join(self._save_dir, self._name) if self._name else self._save_dir

    @property
    def log_dir(self) -> str:
        version = self.version
        return os.path.join(self.root_dir, version if isinstance(version, str) else f"version_{version}")

    @property
    def experiment(self) -> ExperimentWriter:
        """The writer of this version, for metrics that do not come from `self.log`; silent on all ranks but zero."""
        if get_rank() != 0:
            return cast("ExperimentWriter", SilentExperiment())
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

    def _first_free_version(self) -> int:
        taken = [int(match[1]) for name in _storage.folders(self.root_dir) if (match := _VERSION.fullmatch(name))]
        return max(taken, default=-1) + 1
