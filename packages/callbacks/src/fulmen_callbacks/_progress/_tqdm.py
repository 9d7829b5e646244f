"""Progress bars by tqdm."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fulmen_callbacks._progress._drawn import DrawnProgressBar
from fulmen_callbacks._progress._painter import Bar, Metrics, Painter, metric_text

if TYPE_CHECKING:
    from tqdm import tqdm


class TQDMProgressBar(DrawnProgressBar):
    """A progress bar drawn by tqdm, which must be installed. Override an `init_*_tqdm` to change how a bar looks."""

    BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"

    def __init__(self, refresh_rate: int = 1, process_position: int = 0, leave: bool = False) -> None:
        super().__init__(refresh_rate, leave)
        self._process_position = process_position

    @property
    def process_position(self) -> int:
        """Lines that are left free above the bars."""
        return self._process_position

    def init_sanity_tqdm(self) -> tqdm[Any]:
        """Return the bar of the sanity check."""
        return self._new_bar(position=0, leave=False)

    def init_train_tqdm(self) -> tqdm[Any]:
        """Return the bar of training."""
        return self._new_bar(position=0, leave=True)

    def init_validation_tqdm(self) -> tqdm[Any]:
        """Return the bar of validation, below that of training where there is one."""
        return self._new_bar(position=int(self._epoch_is_open), leave=not self._epoch_is_open)

    def init_test_tqdm(self) -> tqdm[Any]:
        """Return the bar of testing."""
        return self._new_bar(position=0, leave=True)

    def init_predict_tqdm(self) -> tqdm[Any]:
        """Return the bar of prediction."""
        return self._new_bar(position=0, leave=True)

    @property
    def train_progress_bar(self) -> tqdm[Any]:
        """The bar of training; one that shows nothing where none is drawn. So are the others."""
        return self._drawn(Bar.TRAIN)

    @property
    def val_progress_bar(self) -> tqdm[Any]:
        """The bar of validation, or of the sanity check."""
        return self._drawn(Bar.VALIDATION, Bar.SANITY)

    @property
    def test_progress_bar(self) -> tqdm[Any]:
        """The bar of testing."""
        return self._drawn(Bar.TEST)

    @property
    def predict_progress_bar(self) -> tqdm[Any]:
        """The bar of prediction."""
        return self._drawn(Bar.PREDICT)

    def make_painter(self) -> Painter:
        return TqdmPainter(self, leave=self._leave)

    def _drawn(self, *bars: Bar) -> tqdm[Any]:
        drawn = self._painter.bars if isinstance(self._painter, TqdmPainter) else {}
        found = next((drawn[bar] for bar in bars if bar in drawn), None)
        return _import_tqdm()(disable=True) if found is None else found

    def _new_bar(self, *, position: int, leave: bool) -> tqdm[Any]:
        tqdm = _import_tqdm()
        return tqdm(
            position=2 * self._process_position + position,
            leave=leave,
            dynamic_ncols=True,
            file=sys.stdout,
            bar_format=self.BAR_FORMAT,
            smoothing=0,
        )


class TqdmPainter:
    """Bars by tqdm."""

    def __init__(self, owner: TQDMProgressBar, *, leave: bool) -> None:
        self._make = {
            Bar.SANITY: owner.init_sanity_tqdm,
            Bar.TRAIN: owner.init_train_tqdm,
            Bar.VALIDATION: owner.init_validation_tqdm,
            Bar.TEST: owner.init_test_tqdm,
            Bar.PREDICT: owner.init_predict_tqdm,
        }
        self._leave = leave
        self.bars: dict[Bar, tqdm[Any]] = {}
        """What is on the screen."""

    def open(self, bar: Bar, description: str, total: float | None, done: int = 0) -> None:
        if bar not in self.bars:
            self.bars[bar] = self._make[bar]()
        shown = self.bars[bar]
        shown.set_description(description, refresh=False)
        shown.reset(None if total is None else int(total))
        shown.initial = shown.n = done

    def update(self, bar: Bar, done: int, metrics: Metrics) -> None:
        if bar in self.bars:
            shown = self.bars[bar]
            shown.n = done
            if bar is Bar.TRAIN or Bar.TRAIN not in self.bars:  # below that of training a bar need not repeat them
                shown.set_postfix_str(", ".join(metric_text(*item) for item in metrics.items()), refresh=False)
            shown.refresh()

    def close(self, bar: Bar, done: int, metrics: Metrics, *, keep: bool) -> None:
        self.update(bar, done, metrics)
        if bar in self.bars and (self._leave or not keep):
            self.bars.pop(bar).close()

    def print(self, *args: Any, sep: str = " ", end: str = "\n", flush: bool = False) -> None:
        _import_tqdm().write(sep.join(map(str, args)), file=sys.stdout, end=end)

    def stop(self) -> None:
        for bar in self.bars.values():
            bar.close()
        self.bars.clear()


def _import_tqdm() -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            "TQDMProgressBar draws with tqdm, which is not installed. `pip install tqdm` brings it; "
            "RichProgressBar needs nothing more."
        ) from error
    return tqdm
