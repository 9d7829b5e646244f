"""Trainer: runs modules as its arguments say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from fulmen_core.trainer._gone import FormerAttributes
from fulmen_core.trainer._signature import ArgumentsWithDefaults
from fulmen_core.trainer._tuning import TuningMethods
from fulmen_core.trainer.properties import (
    DataProperties,
    HardwareProperties,
    MetricProperties,
    ModelProperties,
    ProgressProperties,
    SettingsProperties,
)
from fulmen_interfaces import Stage

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fulmen_core.data import LightningDataModule
    from fulmen_core.module import LightningModule
    from fulmen_core.resolver import RunPlan
    from fulmen_core.settings import TrainerSettings
    from fulmen_core.trainer._arguments import TrainerArguments
    from fulmen_interfaces import CheckpointCallback, Every

StrPath = str | PathLike[str]


class Trainer(
    ProgressProperties,
    MetricProperties,
    DataProperties,
    HardwareProperties,
    ModelProperties,
    SettingsProperties,
    TuningMethods,
    FormerAttributes,
):
    """Trains, validates, tests and predicts with a `LightningModule`.

    All arguments are given by keyword; `help(TrainerSettings)` says what each means. They are checked, and every part
    of the run is chosen, when the Trainer is made: ConfigurationError tells all that is wrong at once.
    """

    __signature__ = ArgumentsWithDefaults()

    def __init__(self, **arguments: Unpack[TrainerArguments]) -> None:
        from fulmen_core.trainer._runner import Runner  # resolver and loops are imported with the first Trainer

        self._runner = Runner(self, arguments)

    def fit(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        ckpt_path: StrPath | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train, with validation where the module and the data offer it.

        `ckpt_path` (a path, "last" or "best") goes on exactly where that checkpoint was saved. A second call trains
        anew, from the weights that the module has. On all ranks.
        """
        loaders = {"train_dataloader": train_dataloaders, "val_dataloader": val_dataloaders}
        self._runner.run(self._runner.job(Stage.FIT, model, loaders, datamodule, ckpt_path, weights_only=weights_only))

    def validate(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        ckpt_path: StrPath | None = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[dict[str, float]]:
        """Run the validation loop once; returns the logged values by loader. On all ranks.

        Without a model, that of the last run is taken, with its best checkpoint where `ckpt_path` says nothing else.
        """
        options = {"verbose": verbose, "weights_only": weights_only}
        loaders = {"val_dataloader": dataloaders}
        results: list[dict[str, float]] = self._runner.run(
            self._runner.job(Stage.VALIDATE, model, loaders, datamodule, ckpt_path, **options)
        )
        return results

    def test(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        ckpt_path: StrPath | None = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[dict[str, float]]:
        """Run the test loop once; otherwise like `validate`."""
        options = {"verbose": verbose, "weights_only": weights_only}
        loaders = {"test_dataloader": dataloaders}
        results: list[dict[str, float]] = self._runner.run(
            self._runner.job(Stage.TEST, model, loaders, datamodule, ckpt_path, **options)
        )
        return results

    def predict(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        return_predictions: bool | None = None,
        ckpt_path: StrPath | None = None,
        weights_only: bool | None = None,
        *,
        gather: bool = False,
    ) -> list[Any] | list[list[Any]] | None:
        """Return what `predict_step` returns for every batch; a list per loader where there are several. On all ranks.

        With `return_predictions=False` nothing is kept in memory and None is returned. Over several processes each has
        its own batches; with `gather` every process gets all of them, in host memory and in the order of one process.
        """
        keep = return_predictions is not False
        options = {"return_predictions": keep, "weights_only": weights_only, "gather": gather}
        loaders = {"predict_dataloader": dataloaders}
        predictions: list[Any] | list[list[Any]] | None = self._runner.run(
            self._runner.job(Stage.PREDICT, model, loaders, datamodule, ckpt_path, **options)
        )
        return predictions

    def save_checkpoint(self, filepath: StrPath, weights_only: bool | None = None, storage_options: Any = None) -> None:
        """Write a checkpoint of the run as it stands. Call it on every rank.

        A file, which rank zero writes; a directory, of which each rank writes a part, where the strategy was made with
        `state_dict_type="sharded"`. Both are read under any strategy and number of processes.
        """
        self._runner.save(filepath, weights_only=bool(weights_only), storage_options=storage_options)

    def remove_checkpoint(self, filepath: StrPath) -> None:
        """Remove a checkpoint. Call it on every rank; rank zero removes."""
        if self.is_global_zero:
            self._runner.parts.checkpoint_io.remove(fspath(filepath))

    def tell_loggers_of_checkpoint(self, callback: CheckpointCallback) -> None:
        """Let the loggers know that this callback has just written a checkpoint. On every rank; rank zero tells."""
        if self._session is not None:
            self._session.parts.loggers.after_save_checkpoint(callback)

    @property
    def settings(self) -> TrainerSettings:
        """What the arguments state, those from environment variables included; frozen."""
        return self._runner.asked

    def derived(self, **changes: Unpack[TrainerArguments]) -> Trainer:
        """Return a new Trainer with the arguments of this one but for the changes: for runs beside its own.

        Objects among the arguments (loggers, callbacks, a strategy) are shared: replace them, or do not run both.
        """
        arguments = {field.name: getattr(self.settings, field.name) for field in fields(self.settings)}
        return Trainer(**{**arguments, **changes})

    def plan(self, train_dataloaders: Any = None, val_dataloaders: Any = None) -> RunPlan:
        """Print which parts the runs of this Trainer are made of, and return it.

        With loaders, also after which batches of a fit on them validation, logging and checkpoints fire first. Nothing
        is read. Raises ConfigurationError where an interval does not go with the data.
        """
        plan = self._runner.plan_for(train_dataloaders, val_dataloaders)
        if self.is_global_zero:
            print(plan)  # noqa: T201
        return plan

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on rank zero, without tearing a progress bar."""
        if self._session is None:
            print(*args, **kwargs)  # noqa: T201
        else:
            self._session.link.print(*args, **kwargs)

    @contextmanager
    def init_module(self, empty_init: bool | None = None) -> Iterator[None]:
        """Inside, modules are made where they will be trained, in the Trainer's precision.

        With `empty_init`, initial weights are not computed: for modules whose weights are loaded from a checkpoint
        afterwards. `configure_model` runs in such a context by itself.
        """
        with self._runner.module_init(empty=bool(empty_init)):
            yield

    def steps_between(self, every: Every, argument: str) -> int:
        """Return the training batches with a step that an interval comes to, from `on_train_start` on.

        Raises ConfigurationError, naming the argument, where the data does not tell.
        """
        return self._runner.steps_between(every, argument)

    def training_batches(self) -> Iterable[Any]:
        """Return an epoch of training batches on the device, during a fit; its position and counters stay."""
        return self._runner.training_batches()

    @property
    def estimated_stepping_batches(self) -> int | float:
        """Optimizer steps of the whole fit, as far as they can be foreseen; loads the training data if need be."""
        return self._runner.stepping_batches(self.accumulate_grad_batches)
