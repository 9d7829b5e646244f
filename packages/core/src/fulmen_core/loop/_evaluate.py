"""Validation, test and prediction: one pass over data in which weights are only read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import torch

from fulmen_core.batches import move_to_device
from fulmen_core.data import EvaluationData, is_dealt, prefetch_to_device
from fulmen_core.logging import RecordGroup, Value, numbers
from fulmen_core.loop._engine import Engine, Transfer
from fulmen_core.loop._hook_table import HookCall
from fulmen_core.loop._modes import evaluation_mode
from fulmen_core.loop._steps import bind_step
from fulmen_interfaces import Collectives, Hook, RunningStage, Stage

_NOTHING = object()


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


def evaluate(
    engine: Engine,
    names: EvaluationNames,
    data: EvaluationData,
    *,
    stage: RunningStage,
    step_number: int,
    at_most: int | float = math.inf,
    before_end: Callable[[], None] | None = None,
) -> dict[str, Value]:
    """Run validation or test once and return the logged epoch values, which may still lie on the device.

    ::

        model to evaluation mode
        on_validation_start, on_validation_epoch_start
        for each loader, for each batch:
            transfer, on_validation_batch_start, validation_step, on_validation_batch_end
        on_validation_epoch_end, metrics to loggers
        on_validation_end
        model back

    `step_number` is the step under which loggers record the result, `at_most` bounds each loader's batches;
    `before_end` is called before the callbacks that watch or save have their `on_validation_end`.
    """
    engine.recorder.begin_evaluation()
    module, group = engine.module, engine.recorder.evaluation
    engine.results.settle(engine.recorder.training)
    leave = _leaving(engine, names)
    with engine.inference(), evaluation_mode(module, engine.hooks.module_only(names.model_eval, group), leave):
        engine.hooks.both(names.start, group)()
        engine.hooks.both(names.epoch_start, group)()
        run_batches(engine, names, data, stage=stage, at_most=at_most)
        engine.publish_epoch(group)
        engine.hooks.both(names.epoch_end, group)()
        engine.publish_epoch(group)
        values = engine.results.take_unsent()
        if stage is not RunningStage.SANITY_CHECKING:
            engine.log_metrics(values, step_number)
            engine.save_logs()
        engine.hooks.early(names.end, group)()
        engine.results.reset_metrics(group)
        if before_end is not None:
            before_end()
        engine.hooks.late(names.end, group)()
    return values


def run_batches(
    engine: Engine,
    names: EvaluationNames,
    data: EvaluationData,
    *,
    stage: RunningStage,
    at_most: int | float = math.inf,
    keep: Callable[[int, Any], None] | None = None,
) -> None:
    """Run the batches of every loader; `keep` receives the loader's index and what the step returned."""
    recorder, signals, progress = engine.recorder, engine.signals, engine.progress
    group = recorder.evaluation
    seen = progress.validation_batches if engine.stage is Stage.FIT else []
    seen += [0] * (len(data.loaders) - len(seen))
    several = len(data.loaders) > 1
    step = bind_step(names.step, engine.entry, engine.prepared, loaders=len(data.loaders))
    step = engine.profiled(names.step.value, step)
    begin, end = engine.hooks.both(names.batch_start, group), engine.hooks.both(names.batch_end, group)
    scope = recorder.scope_of(names.step, group)
    mark_step = engine.mark_step
    logs_steps = stage is not RunningStage.SANITY_CHECKING and names.step is not Hook.PREDICT_STEP
    several_ranks, indices = engine.shared is not None, data.indices
    for loader_idx, _, batches in data.passes(at_most=at_most, epoch=progress.epoch, also_empty=several_ranks):
        recorder.loader_idx = loader_idx if several else None
        tail = (loader_idx,) if several else ()
        batches = engine.profiling.fetches(f"{names.loader}_next", batches)
        with engine.evaluating():
            for batch_idx, batch in enumerate(on_device(engine, batches, loader_idx)):
                recorder.batch = batch
                if indices is not None:
                    indices.advance(loader_idx)
                begin(batch, batch_idx, *tail)
                recorder.scope = scope
                outputs = step(batch, batch_idx, *tail)
                end(outputs, batch, batch_idx, *tail)
                if keep is not None:
                    keep(loader_idx, outputs)
                if mark_step is not None:
                    mark_step()
                if logs_steps:
                    if group.logs_steps:
                        engine.log_evaluation_step(seen[loader_idx])
                    seen[loader_idx] += 1
                if signals.received is not None:
                    signals.check()
        engine.publish_epoch(group)
    if indices is not None:
        indices.clear()
    recorder.loader_idx = recorder.batch = recorder.scope = None


def on_device(engine: Engine, batches: Iterator[Any], loader_idx: int) -> Iterable[Any]:
    """Return the batches as steps get them. A profiler is told of each one's end, but for those within a fit."""
    if engine.prefetch is not None:
        batches = prefetch_to_device(batches, engine.prefetch)
    if engine.transfer is not None:
        batches = _transferred(engine, engine.transfer, batches, loader_idx)
    return batches if engine.stage is Stage.FIT else engine.profiling.steps(batches)


def _transferred(engine: Engine, transfer: Transfer, batches: Iterator[Any], loader_idx: int) -> Iterator[Any]:
    for batch in batches:
        engine.recorder.scope = None  # hooks of the transfer cannot log
        yield transfer(batch, loader_idx)


def _leaving(engine: Engine, names: EvaluationNames) -> HookCall | None:
    """Return how the user leaves evaluation mode, if at all."""
    hook = names.model_train
    if hook is None or engine.hooks.of_module(hook) is None:
        return None
    return engine.hooks.module_only(hook, engine.recorder.evaluation)


def by_loader(values: dict[str, Value], group: RecordGroup, loaders: int) -> list[dict[str, float]]:
    """Part values by the loader that they were logged for; those logged for none go to every loader."""
    plain = numbers(values)
    if loaders <= 1:
        return [plain]
    homes = {record.options.epoch_key: record.loader_idx for record in (*group.records, *group.borrowed)}
    return [
        {key: value for key, value in plain.items() if homes.get(key) in (None, loader)} for loader in range(loaders)
    ]


class Predictions:
    """What `predict` collects: outputs by loader."""

    def __init__(self, loaders: int) -> None:
        self._by_loader: list[list[Any]] = [[] for _ in range(loaders)]

    def add(self, loader_idx: int, outputs: Any) -> None:
        """Take the outputs of one batch."""
        self._by_loader[loader_idx].append(outputs)

    def share(self, collectives: Collectives, dealt: Sequence[bool]) -> None:
        """Take the outputs of all ranks: in the order of one process where batches were dealt out, else by rank."""
        everywhere = collectives.gather_objects(move_to_device(self._by_loader, torch.device("cpu")))
        for loader_idx, was_dealt in enumerate(dealt):
            of_ranks = [by_loader[loader_idx] for by_loader in everywhere]
            self._by_loader[loader_idx] = _in_turn(of_ranks) if was_dealt else list(chain.from_iterable(of_ranks))

    def result(self) -> list[Any] | list[list[Any]]:
        """Return one list of batches, or a list per loader where there are several."""
        return self._by_loader[0] if len(self._by_loader) == 1 else self._by_loader


def _in_turn(of_ranks: Sequence[Sequence[Any]]) -> list[Any]:
    """Return one of each in turn; those that have no more are passed over."""
    rounds = zip_longest(*of_ranks, fillvalue=_NOTHING)
    return [outputs for one_round in rounds for outputs in one_round if outputs is not _NOTHING]


def predict(
    engine: Engine, data: EvaluationData, *, keep: bool, gather: bool = False
) -> list[Any] | list[list[Any]] | None:
    """Run prediction once; the hooks are those of `evaluate` under their own names, nothing is logged.

    With `gather` what all ranks predicted is returned on each, in host memory.
    """
    engine.recorder.begin_evaluation()
    names, group = PREDICTION, engine.recorder.evaluation
    predictions = Predictions(len(data.loaders)) if keep else None
    with engine.inference(), evaluation_mode(engine.module, engine.hooks.module_only(names.model_eval, group), None):
        engine.hooks.both(names.start, group)()
        engine.hooks.both(names.epoch_start, group)()
        run_batches(
            engine, names, data, stage=RunningStage.PREDICTING, keep=None if predictions is None else predictions.add
        )
        engine.hooks.both(names.epoch_end, group)()
        engine.hooks.both(names.end, group)()
    if predictions is None:
        return None
    if gather and engine.shared is not None:
        predictions.share(engine.shared, [is_dealt(loader) for loader in data.loaders])
    return predictions.result()
