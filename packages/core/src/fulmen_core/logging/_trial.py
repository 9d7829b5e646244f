"""The logger of a trial run, which tries what a module does with its logger and keeps nothing of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fulmen_interfaces import Logger


class TrialLogger(Logger):
    """Takes everything and writes nothing, also through the `experiment` and the methods that other loggers have."""

    name = ""
    version = None

    def __init__(self, save_dir: str) -> None:
        self._save_dir = save_dir

    @property
    def save_dir(self) -> str:
        """Where the loggers in whose place it stands might write."""
        return self._save_dir

    @property
    def experiment(self) -> Any:
        """Something of which everything can be asked."""
        return _Anything()

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Leave them."""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Leave them."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_Anything(), name)


class _Anything:
    """Has every public attribute, can be called, indexed, written to and entered; each time it is the result."""

    def __getattr__(self, name: str) -> _Anything:
        if name.startswith("_"):  # what copying and pickling look for
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> _Anything:
        return self

    def __getitem__(self, key: Any) -> _Anything:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __enter__(self) -> _Anything:
        return self

    def __exit__(self, *error: object) -> None:
        pass
