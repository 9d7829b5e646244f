"""What comes back from a run that took place in processes of its own: rank zero's part of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from fulmen_core.loop import FitProgress
from fulmen_core.trainer._job import Job
from fulmen_core.trainer._session import Ingredients, Session, make_session
from fulmen_interfaces import Callback, RunStatus, SingleProcessCollectives, World, rank_zero_warn


@dataclass(frozen=True)
class Homecoming:
    """The state in which rank zero ended, picklable."""

    result: Any
    """What the run returned."""
    weights: Mapping[str, Any]
    callbacks: tuple[Mapping[str, Any], ...]
    """States, in the order in which the Trainer holds its callbacks."""
    results: Mapping[str, Any]
    progress: FitProgress
    should_stop: bool

    @classmethod
    def of(cls, result: Any, session: Session) -> Homecoming:
        """Return the state of a run that is over."""
        parts = session.parts
        parts.results.settle(parts.recorder.training)
        return cls(
            result=result,
            weights=parts.module.state_dict(),
            callbacks=tuple(callback.state_dict() for callback in session.ingredients.callbacks),
            results=parts.results.state_dict(),
            progress=parts.progress,
            should_stop=parts.control.should_stop,
        )

    def bring(self, ingredients: Ingredients, job: Job) -> Any:
        """Give the caller's module, callbacks and Trainer that state; return what the run returned."""
        accelerator = ingredients.plan.make_accelerator()
        session = make_session(ingredients, job, World(), torch.device("cpu"), accelerator, SingleProcessCollectives())
        session.leave()
        session.status = RunStatus.FINISHED
        session.parts.progress = self.progress
        ingredients.adopt(session)
        session.parts.results.load_state_dict(self.results)
        session.parts.control.should_stop = self.should_stop
        lost = job.module.load_state_dict(self.weights, strict=False)
        if lost.missing_keys or lost.unexpected_keys:
            rank_zero_warn(
                f"{type(job.module).__name__} has other parameters than it had in the processes that trained it: "
                f"{', '.join([*lost.missing_keys, *lost.unexpected_keys])} did not come back. Make all of them in "
                "`__init__`, or save a checkpoint."
            )
        for callback, state in zip(ingredients.callbacks, self.callbacks, strict=True):
            _load(callback, state)
        return self.result


def _load(callback: Callback, state: Mapping[str, Any]) -> None:
    if state:
        callback.load_state_dict(dict(state))
