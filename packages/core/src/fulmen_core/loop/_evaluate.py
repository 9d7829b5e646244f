"""Validation, test and prediction: one pass over data in which weights are only read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import Any

import torch

from fulmen_core.batches import move_to_device
from fulmen_core.data import EvaluationData, is_dealt
from fulmen_core.logging import RecordGroup, Value, numbers
from fulmen_core.loop._batch_pass import BatchPass
from fulmen_core.loop._engine import Engine
from fulmen_core.loop._evaluation_names import PREDICTION, EvaluationNames
from fulmen_core.loop._hook_table import HookCall
from fulmen_core.loop._modes import evaluation_mode
from fulmen_interfaces import Collectives, RunningStage

_NOTHING = object()


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
        BatchPass(engine, names, data, stage=stage).run(at_most)
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
    add = None if predictions is None else predictions.add
    with engine.inference(), evaluation_mode(engine.module, engine.hooks.module_only(names.model_eval, group), None):
        engine.hooks.both(names.start, group)()
        engine.hooks.both(names.epoch_start, group)()
        BatchPass(engine, names, data, stage=RunningStage.PREDICTING, keep=add).run()
        engine.hooks.both(names.epoch_end, group)()
        engine.hooks.both(names.end, group)()
    if predictions is None:
        return None
    if gather and engine.shared is not None:
        predictions.share(engine.shared, [is_dealt(loader) for loader in data.loaders])
    return predictions.result()
