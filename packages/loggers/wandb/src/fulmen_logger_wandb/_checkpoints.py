"""Which checkpoints of a callback are new since they were last looked at."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, SupportsFloat, runtime_checkable

from fulmen_interfaces import CheckpointCallback


@runtime_checkable
class RankedCheckpoints(Protocol):
    """A checkpoint callback that keeps the best by a score."""

    monitor: str | None
    mode: str
    save_top_k: int

    @property
    def best_k_models(self) -> Mapping[str, SupportsFloat]:
        """The checkpoints that are kept, and their scores."""
        ...


@dataclass(frozen=True)
class Saved:
    """One checkpoint that lies on this machine."""

    path: str
    written: float
    is_best: bool
    score: float | None

    @property
    def aliases(self) -> list[str]:
        """The words that lead to it."""
        return ["latest", "best"] if self.is_best else ["latest"]


class NewCheckpoints:
    """Remembers what it has shown, so that a checkpoint comes again only when its file was written anew."""

    def __init__(self) -> None:
        self._shown: dict[str, float] = {}

    def of(self, callback: CheckpointCallback) -> list[Saved]:
        """Return the new ones, the oldest first. Links count as what they lead to; what is not local is left out."""
        scores = _scores(callback)
        best = os.path.realpath(callback.best_model_path) if callback.best_model_path else ""
        paths = [*scores, *map(os.path.realpath, filter(None, (callback.best_model_path, callback.last_model_path)))]
        found = [
            Saved(path, os.path.getmtime(path), path == best, scores.get(path))
            for path in dict.fromkeys(paths)
            if os.path.exists(path)
        ]
        new = [saved for saved in found if self._shown.get(saved.path) != saved.written]
        self._shown.update({saved.path: saved.written for saved in new})
        return sorted(new, key=lambda saved: saved.written)


def keeps_all(callback: CheckpointCallback) -> bool:
    """Return whether no checkpoint of this callback ever goes."""
    return isinstance(callback, RankedCheckpoints) and callback.save_top_k == -1


def description(saved: Saved, callback: CheckpointCallback) -> dict[str, float | str | dict[str, str | int | None]]:
    """Return what may be said of a checkpoint beside the file itself."""
    said: dict[str, float | str | dict[str, str | int | None]] = {"original_filename": os.path.basename(saved.path)}
    if saved.score is not None:
        said["score"] = saved.score
    if isinstance(callback, RankedCheckpoints):
        settings = {"monitor": callback.monitor, "mode": callback.mode, "save_top_k": callback.save_top_k}
        said[type(callback).__name__] = settings
    return said


def _scores(callback: CheckpointCallback) -> dict[str, float]:
    if not isinstance(callback, RankedCheckpoints):
        return {}
    return {os.path.realpath(path): float(score) for path, score in callback.best_k_models.items()}
