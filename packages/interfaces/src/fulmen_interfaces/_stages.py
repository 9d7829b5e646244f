"""What a Trainer was asked to do, and what it is doing at this moment."""

from __future__ import annotations

from enum import Enum


class Stage(str, Enum):
    """What was asked: the text that `setup(stage)` and `teardown(stage)` hooks receive."""

    FIT = "fit"
    VALIDATE = "validate"
    TEST = "test"
    PREDICT = "predict"

    def __str__(self) -> str:
        return self.value


class RunningStage(str, Enum):
    """What is being done: `fit` passes through training, a sanity check and validation."""

    TRAINING = "train"
    SANITY_CHECKING = "sanity_check"
    VALIDATING = "validate"
    TESTING = "test"
    PREDICTING = "predict"

    def __str__(self) -> str:
        return self.value

    @property
    def evaluating(self) -> bool:
        """Whether weights are only read, and metrics collected."""
        return self in (RunningStage.SANITY_CHECKING, RunningStage.VALIDATING, RunningStage.TESTING)


class RunStatus(str, Enum):
    """How a run stands; loggers receive the last of it in `finalize`."""

    INITIALIZING = "initializing"
    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"

    def __str__(self) -> str:
        return self.value
