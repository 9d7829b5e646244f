"""Progress bars: how far a run has come, on a terminal, in a notebook or in a log file."""

from __future__ import annotations

from fulmen_callbacks._progress._base import ProgressBar
from fulmen_callbacks._progress._rich import RichProgressBar
from fulmen_callbacks._progress._theme import RichProgressBarTheme
from fulmen_callbacks._progress._tqdm import TQDMProgressBar

__all__ = ["ProgressBar", "RichProgressBar", "RichProgressBarTheme", "TQDMProgressBar"]
