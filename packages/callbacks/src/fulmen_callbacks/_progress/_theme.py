"""How a progress bar by Rich looks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RichProgressBarTheme:
    """Styles in Rich's words (`"bold #ffd166"`), and how metrics are written."""

    description: str = ""
    progress_bar: str = "#f5b700"
    progress_bar_finished: str = "#f5b700"
    progress_bar_pulse: str = "#f5b700"
    batch_progress: str = ""
    time: str = "dim"
    processing_speed: str = "dim"
    metrics: str = ""
    metrics_text_delimiter: str = "  "
    metrics_format: str = ".3g"
