"""What all properties read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fulmen_interfaces import (
    ModuleError,
)

if TYPE_CHECKING:
    from fulmen_core.loop import Engine, Fit
    from fulmen_core.trainer._runner import Runner
    from fulmen_core.trainer._session import Session


class TrainerBase:
    """What the properties read: choices made once, and the session of the present or last run."""

    _runner: Runner

    @property
    def _session(self) -> Session | None:
        return self._runner.session

    @property
    def _fit(self) -> Fit | None:
        return None if self._session is None else self._session.fit

    def _engine(self, wanted: str) -> Engine:
        if self._session is None or self._session.engine is None:
            raise ModuleError(f"`trainer.{wanted}` is known from the time on at which a model is prepared for a run.")
        return self._session.engine
