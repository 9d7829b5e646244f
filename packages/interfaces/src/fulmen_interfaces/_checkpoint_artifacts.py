"""Checkpoints as artifacts: which of them a logger keeps beside the metrics, and when."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from fulmen_interfaces._callback import CheckpointCallback, RankedCheckpoints
from fulmen_interfaces._errors import ConfigurationError, Problem
from fulmen_interfaces._params import PlainValue


@dataclass(frozen=True)
class SavedCheckpoint:
    """One checkpoint, a file or a directory, that lies on this machine."""

    path: str
    """Where it really lies; links are followed."""
    written: float
    """When, in seconds since the epoch."""
    is_best: bool
    """Whether it is the best so far."""
    score: float | None
    """What it is ranked by; None where it is not ranked."""
    callback: CheckpointCallback
    """Who saved it."""

    @property
    def aliases(self) -> list[str]:
        """The words that lead to it."""
        return ["latest", "best"] if self.is_best else ["latest"]

    @property
    def metadata(self) -> dict[str, PlainValue]:
        """What may be said of it beside the file itself."""
        said: dict[str, PlainValue] = {"original_filename": os.path.basename(self.path)}
        if self.score is not None:
            said["score"] = self.score
        if isinstance(self.callback, RankedCheckpoints):
            said[type(self.callback).__name__] = {
                "monitor": self.callback.monitor,
                "mode": self.callback.mode,
                "save_top_k": self.callback.save_top_k,
            }
        return said


class CheckpointArtifacts:
    """Says which checkpoints a logger is to keep now. Each comes once, and again only when it was written anew.

    Args:
        log_model: the logger's argument of that name. `"all"`: each as soon as it is saved. True: those that are there
            at the end of the run, or at once where none of them will ever go. False: none.

    Raises:
        ConfigurationError: `log_model` is anything else.
    """

    def __init__(self, log_model: Literal["all"] | bool) -> None:
        if log_model not in (True, False, "all"):
            reason = "Checkpoints are kept at the end of the run, each at once, or not at all."
            raise ConfigurationError([Problem("log_model", log_model, reason, "Choose True, 'all' or False.")])
        self._log_model = log_model
        self._waiting: list[CheckpointCallback] = []
        self._written: dict[str, float] = {}

    def after_save(self, callback: CheckpointCallback) -> list[SavedCheckpoint]:
        """Return those to keep now that this callback has saved, the oldest first."""
        if self._log_model == "all" or (self._log_model and _keeps_all(callback)):
            return self._new(callback)
        if self._log_model and callback not in self._waiting:
            self._waiting.append(callback)
        return []

    def at_end(self) -> list[SavedCheckpoint]:
        """Return those that waited for the end of the run, each callback's oldest first."""
        new = [saved for callback in self._waiting for saved in self._new(callback)]
        self.discard()
        return new

    def discard(self) -> None:
        """Let go of those that wait for the end of the run."""
        self._waiting.clear()

    def _new(self, callback: CheckpointCallback) -> list[SavedCheckpoint]:
        """Return what this callback has on this machine and was not returned before."""
        scores = _scores(callback)
        best, last = (_real(path) for path in (callback.best_model_path, callback.last_model_path))
        found = [
            SavedCheckpoint(path, os.path.getmtime(path), path == best, scores.get(path), callback)
            for path in dict.fromkeys([*scores, best, last])
            if os.path.exists(path)
        ]
        new = [saved for saved in found if self._written.get(saved.path) != saved.written]
        self._written.update({saved.path: saved.written for saved in new})
        return sorted(new, key=lambda saved: saved.written)


def _keeps_all(callback: CheckpointCallback) -> bool:
    return isinstance(callback, RankedCheckpoints) and callback.save_top_k == -1


def _scores(callback: CheckpointCallback) -> dict[str, float]:
    if not isinstance(callback, RankedCheckpoints):
        return {}
    return {_real(path): float(score) for path, score in callback.best_k_models.items()}


def _real(path: str) -> str:
    """Return where a path leads; none leads nowhere."""
    return os.path.realpath(path) if path else ""
