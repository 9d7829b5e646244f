"""Log the metrics of a fulmen run to CSV files."""

from __future__ import annotations

from fulmen_logger_csv._logger import CSVLogger
from fulmen_logger_csv._spec import CSV_SPEC
from fulmen_logger_csv._writer import ExperimentWriter

__all__ = ["CSV_SPEC", "CSVLogger", "ExperimentWriter"]
