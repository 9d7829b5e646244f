"""What all properties read."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

    @property
    def _engine(self) -> Engine | None:
        return None if self._session is None else self._session.engine
