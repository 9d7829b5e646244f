"""Trying a batch size: a few batches of a stage."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, final

from torch.utils.data import DataLoader

from fulmen_core import CombinedLoader, Trainer
from fulmen_interfaces import (
    Callback,
    CallbackOrder,
    ConfigurationError,
    Problem,
    Stage,
    TrainerView,
    rank_zero_info,
)
from fulmen_tuner._attributes import find_slots
from fulmen_tuner._copies import Subject
from fulmen_tuner._memory import free_memory, is_out_of_memory
from fulmen_tuner._sizes import Outcome
from fulmen_tuner._sweep import rest
from fulmen_tuner._trial import run_trial


@final
class RestingSchedulers(Callback):
    """Lets schedulers rest: a few batches need none, and the metrics that they watch may be missing."""

    order: ClassVar[CallbackOrder] = CallbackOrder.TUNER

    def on_fit_start(self, trainer: TrainerView, pl_module: object) -> None:
        """Let them rest."""
        for config in trainer.lr_scheduler_configs:
            rest(config)


class SizeTrial:
    """Runs a few batches of a stage, of whatever size it is told."""

    def __init__(self, trainer: Trainer, subject: Subject, *, stage: Stage, steps: int, name: str) -> None:
        self._trainer = trainer
        self._subject = subject
        self._stage = stage
        self._steps = steps
        self._name = name

    def __call__(self, size: int) -> Outcome:
        """Return whether memory suffices for batches of that size. Other errors are raised."""
        accelerator = self._trainer.accelerator
        try:
            loaders = self._run(size)
        except Exception as error:
            if not is_out_of_memory(error, accelerator):
                raise
            rank_zero_info(f"Batch size {size} does not fit into memory.")
            return Outcome(fits=False)
        finally:
            free_memory(accelerator)
        rank_zero_info(f"Batch size {size} fits into memory.")
        return Outcome(fits=True, most=self._samples(loaders, size))

    def _run(self, size: int) -> list[DataLoader[Any]]:
        def set_size(copies: Subject) -> None:
            for slot in find_slots(copies, self._name):
                slot.set(size)

        trial = run_trial(
            self._trainer, self._subject, self._stage, RestingSchedulers(), prepare=set_size, **self._limits()
        )
        loaders = {
            Stage.FIT: trial.train_dataloader,
            Stage.VALIDATE: trial.val_dataloaders,
            Stage.TEST: trial.test_dataloaders,
            Stage.PREDICT: trial.predict_dataloaders,
        }
        return list(_loaders_in(loaders[self._stage]))

    def _limits(self) -> dict[str, Any]:
        validation = 0 if self._trainer.settings.limit_val_batches == 0 and self._stage is Stage.FIT else self._steps
        return {
            "max_epochs": 1,
            "max_steps": -1,
            "overfit_batches": 0.0,
            "limit_train_batches": self._steps,
            "limit_val_batches": validation,
            "limit_test_batches": self._steps,
            "limit_predict_batches": self._steps,
        }

    def _samples(self, loaders: Sequence[DataLoader[Any]], size: int) -> float:
        """Return how many samples there are. Raises ConfigurationError where no loader took the size."""
        sizes = {loader.batch_size for loader in loaders if loader.batch_size is not None}
        if sizes and size not in sizes:
            raise ConfigurationError(
                [
                    Problem(
                        "batch_arg_name",
                        self._name,
                        f"`{self._name}` was set to {size}, but the loader of `{self._stage.value}` has batches of "
                        f"{', '.join(map(str, sorted(sizes)))}.",
                        f"Make it with it: DataLoader(..., batch_size=self.{self._name}).",
                    )
                ]
            )
        return max((_length(loader.dataset) for loader in loaders), default=math.inf)


def _loaders_in(value: Any) -> Iterator[DataLoader[Any]]:
    if isinstance(value, DataLoader):
        yield value
    elif isinstance(value, CombinedLoader):
        yield from (one for one in value.flattened if isinstance(one, DataLoader))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _loaders_in(part)
    elif isinstance(value, dict):
        yield from _loaders_in(list(value.values()))


def _length(dataset: Any) -> float:
    try:
        return len(dataset)
    except (TypeError, NotImplementedError):
        return math.inf
