"""The experiment of a CSV logger: a folder with two files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fulmen_interfaces import PlainValue, plain_params
from fulmen_logger_csv import _storage
from fulmen_logger_csv._metrics_file import MetricsFile


class ExperimentWriter:
    """Holds metrics and hyper-parameters of one version back and writes them to its folder."""

    NAME_METRICS_FILE = "metrics.csv"
    NAME_HPARAMS_FILE = "hparams.yaml"

    def __init__(self, log_dir: str) -> None:
        self.log_dir = log_dir
        self.hparams: dict[str, PlainValue] = {}
        self.metrics: list[dict[str, float]] = []
        """Rows that are not in the file yet."""
        self.metrics_file_path = f"{log_dir.rstrip('/')}/{self.NAME_METRICS_FILE}"
        self._file = MetricsFile(self.metrics_file_path)
        self._next_step = 0
        self._hparams_written = True

    @property
    def metrics_keys(self) -> list[str]:
        """Columns of the file."""
        return self._file.columns

    def log_hparams(self, params: Any) -> None:
        """Take hyper-parameters; those of earlier calls stay."""
        self.hparams.update(plain_params(params))
        self._hparams_written = False

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Take one row; without a step it gets the number after the last one."""
        step = self._next_step if step is None else step
        self._next_step = step + 1
        self.metrics.append({**{name: _number(value) for name, value in metrics.items()}, "step": step})

    def save(self) -> None:
        """Write what is held back."""
        if not self._hparams_written:
            self._write_hparams()
        if self.metrics:
            self._file.add(self.metrics)
            self.metrics = []

    def close(self) -> None:
        """Write what is held back and let go of the file."""
        self.save()
        self._file.close()

    def _write_hparams(self) -> None:
        import yaml  # type: ignore[import-untyped]  # it ships no types

        text = yaml.safe_dump(self.hparams, sort_keys=True, allow_unicode=True)
        _storage.replace(f"{self.log_dir.rstrip('/')}/{self.NAME_HPARAMS_FILE}", text)
        self._hparams_written = True


def _number(value: Any) -> float:
    """Return a number as it is, and anything else that holds one (a tensor, an array) as a float."""
    return value if isinstance(value, (int, float)) else float(value)
