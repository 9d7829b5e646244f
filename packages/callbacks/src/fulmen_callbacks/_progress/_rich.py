"""Progress bars by Rich."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fulmen_callbacks._progress._drawn import DrawnProgressBar
from fulmen_callbacks._progress._painter import Painter
from fulmen_callbacks._progress._theme import RichProgressBarTheme
from fulmen_interfaces import TrainerView

if TYPE_CHECKING:
    from rich.progress import ProgressColumn


class RichProgressBar(DrawnProgressBar):
    """A progress bar drawn by Rich, the metrics on a line below it."""

    def __init__(
        self,
        refresh_rate: int = 1,
        leave: bool = False,
        theme: RichProgressBarTheme | None = None,
        console_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(refresh_rate, leave)
        self.theme = theme or RichProgressBarTheme()
        self._console_kwargs = dict(console_kwargs or {})

    def is_on_a_screen(self) -> bool:
        return bool(self._console_kwargs.get("force_terminal")) or super().is_on_a_screen()

    def configure_columns(self, trainer: TrainerView) -> list[ProgressColumn]:
        """Return the columns of a bar; override it for others."""
        from fulmen_callbacks._progress._rich_painter import default_columns

        return default_columns(self.theme)

    def make_painter(self) -> Painter:
        from fulmen_callbacks._progress._rich_painter import RichPainter

        columns = self.configure_columns(self.trainer)
        return RichPainter(self.theme, columns, leave=self._leave, console_kwargs=self._console_kwargs)
