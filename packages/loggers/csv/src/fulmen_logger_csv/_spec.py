"""What the entry point leads to."""

from __future__ import annotations

from fulmen_interfaces import LoggerSpec
from fulmen_logger_csv._logger import CSVLogger

CSV_SPEC = LoggerSpec(name="csv", create=CSVLogger, summary="Metrics in a CSV file", priority=50)
