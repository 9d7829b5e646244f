"""Which checkpoints are among the best."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Ranking:
    """The `k` best checkpoints by one metric; all of them for k = -1.

    A newcomer must be better than the worst of them; of several that are equally bad the oldest leaves. A score that is
    not a number counts as the worst.
    """

    def __init__(self, k: int, mode: str) -> None:
        self.k = k
        self.lower_is_better = mode == "min"
        self.scores: dict[str, Tensor] = {}
        self.best_path = ""
        self.worst_path = ""
        """The one to give way; empty until there are `k`."""

    @property
    def best_score(self) -> Tensor | None:
        """The score of the best checkpoint."""
        return self.scores.get(self.best_path)

    @property
    def worst_value(self) -> Tensor:
        """The score that a newcomer must beat once there are `k`."""
        return self.scores.get(self.worst_path, torch.tensor(self._worst))

    @property
    def full(self) -> bool:
        """Whether a newcomer takes another's place."""
        return 0 < self.k <= len(self.scores)

    def normalised(self, score: Tensor) -> Tensor:
        """Return the score as it is compared and kept."""
        score = score.detach().cpu()
        return torch.full_like(score, self._worst) if torch.isnan(score) else score

    def admits(self, score: Tensor) -> bool:
        """Return whether a checkpoint of that (normalised) score would be kept."""
        if self.k == 0:
            return False
        if not self.full:
            return True
        return bool(score < self.worst_value if self.lower_is_better else score > self.worst_value)

    def add(self, path: str, score: Tensor) -> None:
        """Take a checkpoint that is admitted in; where there are `k` already, the worst leaves."""
        if self.full:
            self.scores.pop(self.worst_path)
        self.scores[path] = score
        best, worst = (min, max) if self.lower_is_better else (max, min)
        self.best_path = best(self.scores, key=lambda name: self.scores[name])
        if self.k == -1 or len(self.scores) >= self.k:
            self.worst_path = worst(self.scores, key=lambda name: self.scores[name])

    def restore(self, scores: Mapping[str, Tensor], worst_path: str) -> None:
        """Take over what a checkpoint says. Which is the best is seen when the next one comes in."""
        self.scores = dict(scores)
        self.worst_path = worst_path if worst_path in self.scores else ""

    @property
    def _worst(self) -> float:
        return float("inf") if self.lower_is_better else float("-inf")
