"""Drawing with Rich. Imported only when something is drawn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from fulmen_callbacks._progress._painter import Bar, Metrics, clock, metric_text, speed
from fulmen_callbacks._progress._theme import RichProgressBarTheme


class RichPainter:
    """Bars at the bottom of the terminal, the metrics below them; what is printed scrolls by above."""

    def __init__(
        self,
        theme: RichProgressBarTheme,
        columns: Iterable[ProgressColumn],
        *,
        leave: bool,
        console_kwargs: dict[str, Any],
    ) -> None:
        self._theme = theme
        self._leave = leave
        self._console = Console(**console_kwargs)
        self._progress = _Bars(*columns, console=self._console, theme=theme)
        self._tasks: dict[Bar, TaskID] = {}

    def open(self, bar: Bar, description: str, total: float | None, done: int = 0) -> None:
        self._remove(bar)
        self._tasks[bar] = self._progress.add_task(description, total=total, completed=done)
        if not self._progress.live.is_started:
            self._progress.start()
        self._progress.refresh()

    def update(self, bar: Bar, done: int, metrics: Metrics) -> None:
        if bar in self._tasks:
            self._progress.update(self._tasks[bar], completed=done)
        self._progress.show(metrics)

    def close(self, bar: Bar, done: int, metrics: Metrics, *, keep: bool) -> None:
        self.update(bar, done, metrics)
        if bar in self._tasks:
            self._progress.stop_task(self._tasks[bar])
        if keep and self._leave:
            self._console.print(*self._progress.get_renderables(), sep="\n")
        if not keep or self._leave:
            self._remove(bar)
            self._progress.refresh()

    def print(self, *args: Any, sep: str = " ", end: str = "\n", flush: bool = False) -> None:
        self._console.print(Text(sep.join(map(str, args))), end=end, soft_wrap=True)

    def stop(self) -> None:
        if self._progress.live.is_started:
            self._progress.stop()

    def _remove(self, bar: Bar) -> None:
        if bar in self._tasks:
            self._progress.remove_task(self._tasks.pop(bar))


class _Bars(Progress):
    """Rich's table of bars with a line of metrics below. Nothing is drawn unless told."""

    def __init__(self, *columns: ProgressColumn, console: Console, theme: RichProgressBarTheme) -> None:
        self._theme = theme
        self._metrics = Text()
        super().__init__(*columns, console=console, auto_refresh=False, expand=True)

    def show(self, metrics: Metrics) -> None:
        """Draw, with these metrics."""
        texts = (metric_text(name, value, self._theme.metrics_format) for name, value in metrics.items())
        self._metrics = Text(self._theme.metrics_text_delimiter.join(texts), style=self._theme.metrics)
        self.refresh()

    def get_renderables(self) -> Iterable[RenderableType]:
        if self.tasks:
            yield self.make_tasks_table(self.tasks)
        if self._metrics and self.tasks:
            yield self._metrics


class _BatchColumn(ProgressColumn):
    def __init__(self, style: str) -> None:
        self._style = style
        super().__init__(Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        total = "–" if task.total is None else f"{task.total:.0f}"
        return Text(f"{task.completed:.0f}/{total}", style=self._style)


class _TimeColumn(ProgressColumn):
    def __init__(self, style: str) -> None:
        self._style = style
        super().__init__()

    def render(self, task: Task) -> Text:
        elapsed = task.finished_time if task.finished else task.elapsed
        remaining = "-:--:--" if task.time_remaining is None else clock(task.time_remaining)
        return _shortened(f"{clock(elapsed or 0)} • {remaining}", self._style)


class _SpeedColumn(ProgressColumn):
    def __init__(self, style: str) -> None:
        self._style = style
        super().__init__()

    def render(self, task: Task) -> Text:
        return _shortened(speed(task.finished_speed or task.speed or 0.0), self._style)


def _shortened(text: str, style: str) -> Text:
    """Return text that gives way on narrow terminals, before the columns that are as wide as what they hold."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def default_columns(theme: RichProgressBarTheme) -> list[ProgressColumn]:
    """Return description, bar, batches, time gone and to go, and speed."""
    return [
        TextColumn("{task.description}", style=theme.description or "none", table_column=Column(no_wrap=True)),
        BarColumn(
            bar_width=None,
            complete_style=theme.progress_bar,
            finished_style=theme.progress_bar_finished,
            pulse_style=theme.progress_bar_pulse,
        ),
        _BatchColumn(theme.batch_progress),
        _TimeColumn(theme.time),
        _SpeedColumn(theme.processing_speed),
    ]
