"""What was logged, and where it goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fulmen_core.trainer.properties._base import TrainerBase
from fulmen_interfaces import (
    Every,
    Logger,
    PassThroughProfiler,
    Profiler,
)

if TYPE_CHECKING:
    from torch import Tensor

_UNMEASURED = PassThroughProfiler()


class MetricProperties(TrainerBase):
    """What was logged, and where it goes."""

    @property
    def callback_metrics(self) -> dict[str, Tensor]:
        """The newest value of every logged metric."""
        if self._session is None:
            return {}
        return self._session.parts.results.callback_metrics(self._session.parts.recorder.training)

    @property
    def logged_metrics(self) -> dict[str, Tensor]:
        """The newest value of every metric that goes to loggers, by the key under which it does."""
        if self._session is None:
            return {}
        recorder = self._session.parts.recorder
        return self._session.parts.results.logged_metrics(recorder.training, recorder.evaluation)

    @property
    def progress_bar_metrics(self) -> dict[str, float]:
        """The newest values of metrics logged with `prog_bar=True`; reading them waits for the device."""
        if self._session is None:
            return {}
        recorder = self._session.parts.recorder
        return self._session.parts.results.progress_bar_metrics(recorder.training, recorder.evaluation)

    @property
    def loggers(self) -> list[Logger]:
        """All loggers."""
        return self._runner.parts.loggers

    @loggers.setter
    def loggers(self, loggers: Sequence[Logger] | None) -> None:
        self._runner.parts.loggers[:] = loggers or ()

    @property
    def logger(self) -> Logger | None:
        """The first logger, if any."""
        return next(iter(self.loggers), None)

    @logger.setter
    def logger(self, logger: Logger | None) -> None:
        self.loggers = [] if logger is None else [logger]

    @property
    def profiler(self) -> Profiler:
        """What measures where the time goes; a PassThroughProfiler where nothing does."""
        return self._runner.parts.profiler or _UNMEASURED

    @property
    def log_dir(self) -> str | None:
        """Directory of the first logger, or the default root; the same on every rank."""
        first = self.logger
        path = self.default_root_dir if first is None else first.log_dir or first.save_dir
        return path if self._session is None else self._session.parts.collectives.broadcast(path)

    @property
    def default_root_dir(self) -> str:
        """Where files go if nothing else is said."""
        return self._runner.settings.default_root_dir

    @property
    def log_every_n_steps(self) -> int:
        """Optimizer steps between writes of step metrics; 0: none is due. Where time decides, as it is now."""
        if self._fit is not None:
            return self._fit.log_interval
        asked = self._runner.settings.log_every_n_steps
        return 0 if isinstance(asked, Every) else asked
