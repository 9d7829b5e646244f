"""One pass over the batches of an evaluation, loader by loader."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fulmen_core.data import EvaluationData, prefetch_to_device
from fulmen_core.loop._engine import Engine, Transfer
from fulmen_core.loop._evaluation_names import EvaluationNames
from fulmen_core.loop._steps import bind_step
from fulmen_interfaces import Hook, RunningStage, Stage


class BatchPass:
    """One pass over the batches of an evaluation. What is called with each of them is bound once."""

    def __init__(
        self,
        engine: Engine,
        names: EvaluationNames,
        data: EvaluationData,
        *,
        stage: RunningStage,
        keep: Callable[[int, Any], None] | None = None,
    ) -> None:
        self._engine = engine
        self._data = data
        self._keep = keep
        """Receives the loader's index and what the step returned."""
        self._several = len(data.loaders) > 1
        self._group = group = engine.recorder.evaluation
        self._fetch = f"{names.loader}_next"
        self._begin = engine.hooks.both(names.batch_start, group)
        step = bind_step(names.step, engine.entry, engine.prepared, loaders=len(data.loaders))
        self._step = engine.profiled(names.step.value, step)
        self._scope = engine.recorder.scope_of(names.step, group)
        self._end = engine.hooks.both(names.batch_end, group)
        self._logs_steps = stage is not RunningStage.SANITY_CHECKING and names.step is not Hook.PREDICT_STEP
        self._seen = engine.progress.validation_batches if engine.stage is Stage.FIT else []
        self._seen += [0] * (len(data.loaders) - len(self._seen))

    def run(self, at_most: int | float = math.inf) -> None:
        """Run the batches of every loader, at most so many of each."""
        engine, recorder, indices = self._engine, self._engine.recorder, self._data.indices
        several_ranks = engine.shared is not None
        passes = self._data.passes(at_most=at_most, epoch=engine.progress.epoch, also_empty=several_ranks)
        for loader_idx, _, batches in passes:
            recorder.loader_idx = loader_idx if self._several else None
            fetched = engine.profiling.fetches(self._fetch, batches)
            with engine.evaluating():
                self._run_loader(loader_idx, on_device(engine, fetched, loader_idx))
            engine.publish_epoch(self._group)
        if indices is not None:
            indices.clear()
        recorder.loader_idx = recorder.batch = recorder.scope = None

    def _run_loader(self, loader_idx: int, batches: Iterable[Any]) -> None:
        engine, begin, step, end, keep = self._engine, self._begin, self._step, self._end, self._keep
        recorder, scope, logs_steps, seen = engine.recorder, self._scope, self._logs_steps, self._seen
        mark_step, signals, indices = engine.mark_step, engine.signals, self._data.indices
        tail = (loader_idx,) if self._several else ()
        for batch_idx, batch in enumerate(batches):
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
                if self._group.logs_steps:
                    engine.log_evaluation_step(seen[loader_idx])
                seen[loader_idx] += 1
            if signals.received is not None:
                signals.check()


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
