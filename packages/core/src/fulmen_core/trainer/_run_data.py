"""The data of a run, asked for when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import torch

from fulmen_core.data import (
    EvaluationData,
    IndexRecord,
    RankedCursor,
    Ranks,
    Sharding,
    TrainingCursor,
    hint_workers,
    in_fixed_order,
    seed_workers,
    training_loader,
)
from fulmen_core.logging import IdleBatches
from fulmen_core.loop import RunParts
from fulmen_core.random import RandomStates
from fulmen_core.trainer._job import Job
from fulmen_core.trainer._transfer import make_prefetch
from fulmen_core.trainer._verify import has_validation
from fulmen_interfaces import DataError, Hook, ReadsPredictionIndices, Stage


class RunData:
    """Training data as a cursor, evaluation data by loader; each is loaded once, and again where that was asked for."""

    def __init__(self, parts: RunParts, job: Job) -> None:
        self._parts = parts
        self._job = job
        self._random = RandomStates(parts.accelerator)
        self.prefetch = make_prefetch(parts)
        """Copies batches ahead; None where that does not go."""
        self._given: dict[Hook, Any] = {}
        self._cursor: TrainingCursor | None = None
        self._evaluation: dict[Stage, EvaluationData] = {}
        settings = parts.settings
        self._sharding: Sharding | None = None
        if parts.shared is not None and settings.use_distributed_sampler:
            self._sharding = Sharding(parts.world, parts.shared.broadcast(torch.initial_seed()))
        self._ranks: Ranks | None = None
        if parts.shared is not None:
            idle = IdleBatches(parts.recorder, parts.module)
            self._ranks = Ranks(parts.shared, uneven=settings.uneven_batches, idle=idle)
        self._limits = {
            Stage.VALIDATE: (Hook.VAL_DATALOADER, "limit_val_batches", settings.limit_val_batches),
            Stage.TEST: (Hook.TEST_DATALOADER, "limit_test_batches", settings.limit_test_batches),
            Stage.PREDICT: (Hook.PREDICT_DATALOADER, "limit_predict_batches", settings.limit_predict_batches),
        }
        self.validates = job.stage is Stage.FIT and has_validation(job) and parts.settings.limit_val_batches != 0

    def training(self) -> TrainingCursor:
        """Return the cursor over the training data."""
        if self._cursor is None:
            self._cursor = self._cursor_over(self._request(Hook.TRAIN_DATALOADER))
        return self._cursor

    def validation(self) -> EvaluationData | None:
        """Return the validation data of a fit; None where it does not validate."""
        return self._load_evaluation(Stage.VALIDATE) if self.validates else None

    @property
    def checks_sanity(self) -> bool:
        """Whether a few validation batches run before training."""
        return self.validates and bool(self._parts.settings.num_sanity_val_steps)

    def sanity(self) -> EvaluationData:
        """Return the data of the sanity check: the validation data."""
        return self._load_evaluation(Stage.VALIDATE)

    def evaluation(self) -> EvaluationData:
        """Return the data of `validate`, `test` or `predict`."""
        return self._load_evaluation(self._job.stage)

    def reload(self) -> None:
        """Ask for the loaders of a fit again, between two epochs. An object that comes again is read on as it was."""
        hook, cursor = Hook.TRAIN_DATALOADER, self.training()
        with suppress(DataError):  # of a position in other loaders, which an epoch that is over may have had
            cursor.settle()
        before = self._given[hook]
        if self._request(hook) is before:
            cursor.count()
        else:
            self._cursor = self._cursor_over(self._given[hook])
        if not self.validates:
            return
        hook, validation = Hook.VAL_DATALOADER, self._load_evaluation(Stage.VALIDATE)
        before = self._given[hook]
        if self._request(hook) is before:
            validation.count()
        else:
            self._evaluation[Stage.VALIDATE] = self._data_over(self._given[hook], Stage.VALIDATE)

    def _request(self, hook: Hook) -> Any:
        request = self._parts.profiling.wrap(hook.value, self._job.source.request)
        self._given[hook] = request(hook.value)
        seed_workers(self._given[hook], self._parts.world.rank)
        return self._given[hook]

    def _cursor_over(self, loaders: Any) -> TrainingCursor:
        parts, settings, hook = self._parts, self._parts.settings, Hook.TRAIN_DATALOADER.value
        loader, argument = training_loader(loaders), "limit_train_batches"
        if settings.overfit_batches:
            loader, argument = in_fixed_order(loader, hook), "overfit_batches"
        hint_workers(loader, hook)
        if self._sharding is not None:
            loader = self._sharding.for_training(loader, epoch=parts.progress.epoch)
        make: Callable[..., TrainingCursor] = (
            TrainingCursor if self._ranks is None else partial(RankedCursor, ranks=self._ranks)
        )
        limit = settings.limit_train_batches
        return make(loader, limit=limit, random=self._random, hook=hook, argument=argument, prefetch=self.prefetch)

    def _load_evaluation(self, stage: Stage) -> EvaluationData:
        if stage not in self._evaluation:
            self._evaluation[stage] = self._data_over(self._request(self._limits[stage][0]), stage)
        return self._evaluation[stage]

    def _data_over(self, loaders: Any, stage: Stage) -> EvaluationData:
        hook, argument, limit = self._limits[stage]
        if self._job.stage is Stage.FIT and self._parts.settings.overfit_batches:
            loaders, argument = in_fixed_order(loaders, hook.value), "overfit_batches"
        if self._sharding is not None:
            loaders = self._sharding.for_evaluation(loaders, epoch=self._parts.progress.epoch)
        indices = IndexRecord() if stage is Stage.PREDICT and self._indices_are_wanted else None
        return EvaluationData(loaders, limit=limit, argument=argument, hook=hook.value, indices=indices)

    @property
    def _indices_are_wanted(self) -> bool:
        return any(
            isinstance(one, ReadsPredictionIndices) and one.reads_prediction_indices for one in self._parts.callbacks
        )

    @property
    def predicted_indices(self) -> Sequence[int] | None:
        """Positions of the samples that are predicted now; None where they are not recorded or not known."""
        data = self._evaluation.get(Stage.PREDICT)
        return None if data is None or data.indices is None else data.indices.present

    @property
    def train_loader(self) -> Any:
        """What the training data came from, as it was given; None where it is not loaded."""
        return self._given.get(Hook.TRAIN_DATALOADER)

    @property
    def num_training_batches(self) -> int | float:
        """Training batches of an epoch; 0 where they are not loaded."""
        return 0 if self._cursor is None else self._cursor.num_batches

    def loaders_of(self, stage: Stage) -> Any:
        """Return what the data of an evaluation came from, as it was given; None where it is not loaded."""
        return self._given.get(self._limits[stage][0])

    def num_batches_of(self, stage: Stage) -> list[int | float]:
        """Return the batches of an evaluation by loader; empty where it is not loaded."""
        data = self._evaluation.get(stage)
        return [] if data is None else list(data.num_batches)
