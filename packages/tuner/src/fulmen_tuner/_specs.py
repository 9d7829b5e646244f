"""What the entry points lead to."""

from __future__ import annotations

from fulmen_interfaces import CallbackSpec, TunerSpec
from fulmen_tuner._finders import BatchSizeFinder, LearningRateFinder
from fulmen_tuner._tuner import Tuner

TUNER_SPEC = TunerSpec(
    name="default",
    create=Tuner,
    summary="Learning rate and batch size, by trial runs",
)

LEARNING_RATE_FINDER_SPEC = CallbackSpec(
    name="learning_rate_finder",
    create=LearningRateFinder,
    summary="Finds a learning rate before a fit",
)

BATCH_SIZE_FINDER_SPEC = CallbackSpec(
    name="batch_size_finder",
    create=BatchSizeFinder,
    summary="Finds the largest batch size before a run",
)
