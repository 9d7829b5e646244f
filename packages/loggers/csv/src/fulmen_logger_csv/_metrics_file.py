"""A CSV file that grows in both directions."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import IO

from fulmen_logger_csv import _storage


class MetricsFile:
    """Rows of numbers under named columns.

    Rows are added at the end of the file. A column that was not there yet makes it be written anew, whole and at once,
    so that a reader or a crash never meets half a file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.columns: list[str] = []
        self._file: IO[str] | None = None
        self._adopted = False

    def add(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Write rows; they are with the operating system when this returns."""
        if not self._adopted:
            self._adopt()
        new = {name for row in rows for name in row}.difference(self.columns)
        if new or _storage.is_remote(self.path):
            self._rewrite(sorted({*self.columns, *new}), rows)
            return
        if self._file is None:
            self._file = _storage.appending(self.path)
        _write(self._file, self.columns, rows)
        self._file.flush()

    def close(self) -> None:
        """Let go of the file; adding opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _adopt(self) -> None:
        """Go on with a file of an earlier run: its columns stay, and a last line that was cut off goes."""
        self._adopted = True
        if not _storage.exists(self.path):
            return
        text = _storage.read(self.path)
        whole = text[: text.rfind("\n") + 1]
        self.columns = next(csv.reader(io.StringIO(whole)), [])
        if whole != text:
            _storage.replace(self.path, whole)

    def _rewrite(self, columns: list[str], rows: Sequence[Mapping[str, float]]) -> None:
        self.close()
        old = csv.DictReader(io.StringIO(_storage.read(self.path), newline="")) if self.columns else []
        text = io.StringIO(newline="")
        csv.writer(text).writerow(columns)
        _write(text, columns, old)
        _write(text, columns, rows)
        _storage.replace(self.path, text.getvalue())
        self.columns = columns


def _write(file: IO[str], columns: Iterable[str], rows: Iterable[Mapping[str, object]]) -> None:
    csv.writer(file).writerows([row.get(name, "") for name in columns] for row in rows)
