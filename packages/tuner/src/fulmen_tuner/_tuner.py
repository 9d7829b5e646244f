"""Tuner: learning rate and batch size, found by trial runs."""

from __future__ import annotations

from typing import Any, Literal, final

from fulmen_core import LightningDataModule, LightningModule, Trainer
from fulmen_interfaces import ConfigurationError, ModuleError, Problem, Stage, TunerSpec, rank_zero_warn
from fulmen_tuner._attributes import fill, require_slots
from fulmen_tuner._checks import check_rates, check_sizes, check_sweep, refuse_loaders
from fulmen_tuner._copies import Subject
from fulmen_tuner._curve import LearningRateCurve
from fulmen_tuner._size_trial import SizeTrial
from fulmen_tuner._sizes import SizeMode, SizeSearch
from fulmen_tuner._sweep import Mode, Sweep, rates_between
from fulmen_tuner._trial import run_trial

Method = Literal["fit", "validate", "test", "predict"]
_RATE_NAMES = ("lr", "learning_rate")
_NEVER = 10**9


@final
class Tuner:
    """Finds out by trial runs what a trainer's runs should be made with.

    Trial runs use the trainer's accelerator, strategy, precision, accumulation and clipping, and copies of module and
    data. They keep no files and log nothing. Afterwards everything is as it was but for the value that was found.
    """

    def __init__(self, trainer: Trainer) -> None:
        if not isinstance(trainer, Trainer):
            reason = "It is no Trainer, with whose arguments trial runs could be made."
            raise ConfigurationError([Problem("trainer", trainer, reason, "Write Tuner(Trainer(...)).lr_find(model).")])
        self._trainer = trainer

    def lr_find(  # noqa: PLR0913 (the arguments that users know)
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        method: Method = "fit",
        min_lr: float = 1e-8,
        max_lr: float = 1,
        num_training: int = 100,
        mode: Mode = "exponential",
        early_stop_threshold: float | None = 4.0,
        update_attr: bool = True,
        attr_name: str = "",
    ) -> LearningRateCurve | None:
        """Train with learning rates from `min_lr` to `max_lr`, one per step, and return how the loss went.

        What the curve suggests is written into the module's `lr` or `learning_rate` (also in its hparams and in the
        data module) unless `update_attr=False`; `attr_name` is another place, dotted where it lies deeper.

        Args:
            model: the module; a copy of it is trained.
            train_dataloaders: loaders, where neither module nor data module has them; or a data module.
            val_dataloaders: not used; they may stand here because `fit` takes them.
            dataloaders: not used by `fit`.
            datamodule: where data comes from.
            method: `"fit"`; learning rates have a meaning in training only.
            min_lr: the lowest rate, above 0.
            max_lr: the highest rate.
            num_training: optimizer steps, and so learning rates.
            mode: `"exponential"`: equal factors between rates; `"linear"`: equal differences.
            early_stop_threshold: the search ends where the smoothed loss is that many times the best; None: never.
            update_attr: whether the suggestion is written into the module.
            attr_name: where it is written.

        Returns None, with a warning, under `fast_dev_run`. Call it on every rank. Raises ConfigurationError before
        anything is run, and ModuleError where something cannot be copied, or no loss came back.
        """
        check_rates(method, dataloaders, min_lr=min_lr, max_lr=max_lr, num_training=num_training, mode=mode)
        subject = _subject(model, datamodule, {"train_dataloaders": train_dataloaders})
        if self._is_trial_run("lr_find"):
            return None
        slots = require_slots(subject, [attr_name] if attr_name else _RATE_NAMES, "attr_name") if update_attr else []
        sweep = Sweep(rates_between(min_lr, max_lr, num_training, mode), threshold=early_stop_threshold)
        limits: dict[str, Any] = {
            "max_steps": num_training,
            "max_epochs": -1,
            "limit_val_batches": 0,
            "check_val_every_n_epoch": _NEVER,
        }
        run_trial(self._trainer, subject, Stage.FIT, sweep, **limits)
        check_sweep(sweep, model)
        curve = LearningRateCurve(sweep.used, losses=sweep.smooth, raw=sweep.raw, mode=mode)
        suggested = curve.suggestion() if slots else None
        if suggested is not None:
            fill(slots, suggested)
        return curve

    def scale_batch_size(  # noqa: PLR0913 (the arguments that users know)
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        method: Method = "fit",
        mode: SizeMode = "power",
        steps_per_trial: int = 3,
        init_val: int = 2,
        max_trials: int = 25,
        batch_arg_name: str = "batch_size",
        margin: float = 0.05,
        max_val: int = 8192,
    ) -> int | None:
        """Return the largest batch size for which memory suffices, and write it into module, data module and hparams.

        Sizes are tried from `init_val` on, doubled each time; where the first does not fit, halved. A trial of `"fit"`
        runs training batches, then validation batches. The number of samples is never exceeded.

        Args:
            model: the module; copies of it are run.
            train_dataloaders: a data module; loaders are refused, because their batch size cannot be changed.
            val_dataloaders: refused likewise.
            dataloaders: refused likewise, or a data module.
            datamodule: where data comes from.
            method: what is run: `"fit"`, `"validate"`, `"test"` or `"predict"`.
            mode: `"power"` ends at the last doubled size that fits; `"binsearch"` goes on between that and the first
                that does not.
            steps_per_trial: batches per trial.
            init_val: the first size.
            max_trials: sizes tried at most.
            batch_arg_name: the attribute from which loaders take their size, dotted where it lies deeper.
            margin: the share that `"binsearch"` leaves free below the limit that it found.
            max_val: the largest size tried.

        Returns None, with a warning, under `fast_dev_run`. Raises ModuleError where not even one sample fits, and
        ConfigurationError for runs of several processes: one that lacks memory would leave the others waiting.
        """
        counts = {
            "steps_per_trial": steps_per_trial,
            "init_val": init_val,
            "max_trials": max_trials,
            "max_val": max_val,
        }
        check_sizes(method, mode=mode, margin=margin, counts=counts, processes=self._trainer.world_size)
        passed = {
            "train_dataloaders": train_dataloaders,
            "val_dataloaders": val_dataloaders,
            "dataloaders": dataloaders,
        }
        subject = _subject(model, datamodule, passed)
        refuse_loaders(subject.loaders, batch_arg_name)
        slots = require_slots(subject, [batch_arg_name], "batch_arg_name")
        if self._is_trial_run("scale_batch_size"):
            return None
        trial = SizeTrial(self._trainer, subject, stage=Stage(method), steps=steps_per_trial, name=batch_arg_name)
        search = SizeSearch(mode=mode, first=init_val, max_trials=max_trials, margin=margin, most=max_val)
        size = search.largest(trial)
        if not size:
            raise ModuleError(
                f"`scale_batch_size` found no batch size for which memory suffices: {init_val} and what was tried "
                "below it do not fit. Make the model or its inputs smaller, or use a lower precision."
            )
        fill(slots, size)
        return size

    def _is_trial_run(self, asked: str) -> bool:
        if self._trainer.fast_dev_run:
            rank_zero_warn(
                f"`{asked}` was skipped: fast_dev_run makes a run of a few batches, too few to find anything."
            )
        return bool(self._trainer.fast_dev_run)


def _subject(model: LightningModule, datamodule: LightningDataModule | None, passed: dict[str, Any]) -> Subject:
    loaders = {}
    for argument, given in passed.items():
        if isinstance(given, LightningDataModule):
            datamodule = given
        elif given is not None:
            loaders[argument] = given
    return Subject(model, datamodule, loaders)


TUNER_SPEC = TunerSpec(name="default", create=Tuner, summary="Learning rate and batch size, by trial runs")
