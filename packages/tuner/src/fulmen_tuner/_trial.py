"""Trial runs: with what a trainer is made of, on copies, leaving nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from fulmen_core import Trainer, isolate_rng
from fulmen_core.random import capture_generators, restore_generators
from fulmen_interfaces import Callback, Stage
from fulmen_tuner._copies import Subject

_SILENT: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "profiler": None,
    "num_sanity_val_steps": 0,
    "val_check_interval": None,
    "check_val_every_n_epoch": 1,
    "reload_dataloaders_every_n_epochs": 0,
}
_UNTIL_DONE: dict[str, Any] = {"min_epochs": None, "min_steps": None, "max_time": None}


def run_trial(
    trainer: Trainer,
    subject: Subject,
    stage: Stage,
    callback: Callback,
    *,
    prepare: Callable[[Subject], None] | None = None,
    **changes: Any,
) -> Trainer:
    """Run a stage on copies of module and data, and return the trainer that ran it.

    `prepare` is given the copies before; `changes` are arguments that differ from the trainer's own. Random states are
    afterwards what they were.
    """
    with isolate_rng(), _same_generators(subject), TemporaryDirectory(prefix="fulmen_tuner_") as folder:
        arguments = {**_SILENT, **_UNTIL_DONE, "callbacks": [callback], "default_root_dir": folder, **changes}
        trial = trainer.derived(**arguments)
        copies = subject.copied(trainer)
        if prepare is not None:
            prepare(copies)
        run: Any = {Stage.FIT: trial.fit, Stage.VALIDATE: trial.validate, Stage.TEST: trial.test}.get(
            stage, trial.predict
        )
        quiet = {"verbose": False} if stage in (Stage.VALIDATE, Stage.TEST) else {}
        run(copies.module, datamodule=copies.datamodule, **copies.loaders, **quiet)
    return trial


@contextmanager
def _same_generators(subject: Subject) -> Iterator[None]:
    """Inside, shared data sets may draw random numbers; afterwards their generators are as they were."""
    states = [(dataset, capture_generators(dataset)) for dataset in subject.datasets]
    try:
        yield
    finally:
        for dataset, state in states:
            restore_generators(dataset, state)
