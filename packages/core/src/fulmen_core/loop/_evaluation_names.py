"""What the hooks of validation, test and prediction are called."""

from __future__ import annotations

from dataclasses import dataclass

from fulmen_interfaces import Hook


@dataclass(frozen=True)
class EvaluationNames:
    """The hooks of one kind of evaluation."""

    loader: Hook
    step: Hook
    model_eval: Hook
    model_train: Hook | None
    start: Hook
    end: Hook
    epoch_start: Hook
    epoch_end: Hook
    batch_start: Hook
    batch_end: Hook


VALIDATION = EvaluationNames(
    loader=Hook.VAL_DATALOADER,
    step=Hook.VALIDATION_STEP,
    model_eval=Hook.ON_VALIDATION_MODEL_EVAL,
    model_train=Hook.ON_VALIDATION_MODEL_TRAIN,
    start=Hook.ON_VALIDATION_START,
    end=Hook.ON_VALIDATION_END,
    epoch_start=Hook.ON_VALIDATION_EPOCH_START,
    epoch_end=Hook.ON_VALIDATION_EPOCH_END,
    batch_start=Hook.ON_VALIDATION_BATCH_START,
    batch_end=Hook.ON_VALIDATION_BATCH_END,
)
TEST = EvaluationNames(
    loader=Hook.TEST_DATALOADER,
    step=Hook.TEST_STEP,
    model_eval=Hook.ON_TEST_MODEL_EVAL,
    model_train=Hook.ON_TEST_MODEL_TRAIN,
    start=Hook.ON_TEST_START,
    end=Hook.ON_TEST_END,
    epoch_start=Hook.ON_TEST_EPOCH_START,
    epoch_end=Hook.ON_TEST_EPOCH_END,
    batch_start=Hook.ON_TEST_BATCH_START,
    batch_end=Hook.ON_TEST_BATCH_END,
)
PREDICTION = EvaluationNames(
    loader=Hook.PREDICT_DATALOADER,
    step=Hook.PREDICT_STEP,
    model_eval=Hook.ON_PREDICT_MODEL_EVAL,
    model_train=None,
    start=Hook.ON_PREDICT_START,
    end=Hook.ON_PREDICT_END,
    epoch_start=Hook.ON_PREDICT_EPOCH_START,
    epoch_end=Hook.ON_PREDICT_EPOCH_END,
    batch_start=Hook.ON_PREDICT_BATCH_START,
    batch_end=Hook.ON_PREDICT_BATCH_END,
)
