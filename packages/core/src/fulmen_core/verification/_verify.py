"""Run, cut, resume, compare."""

from __future__ import annotations

import copy
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

from fulmen_core._seed import SEED_VARIABLE, WORKERS_VARIABLE, isolate_rng, seed_everything, workers_are_seeded
from fulmen_core.checkpoint import TorchCheckpointIO
from fulmen_core.data import LightningDataModule
from fulmen_core.module import LightningModule
from fulmen_core.trainer import Trainer
from fulmen_core.verification._differences import Difference, first_difference
from fulmen_core.verification._observer import KEY, Cut, MemoryLogger, Observer
from fulmen_core.verification._report import CutResult, ResumeReport
from fulmen_interfaces import Callback, CallbackRole, ConfigurationError, Problem

_COMPARED = {
    "epoch": "the epoch",
    "global_step": "the number of steps",
    "state_dict": "weights",
    "optimizer_states": "states of optimizers",
    "lr_schedulers": "states of schedulers",
    "logged": "what was sent to loggers",
    "metrics": "callback_metrics",
}
_SHOWN = {
    CallbackRole.PROGRESS_BAR: "enable_progress_bar",
    CallbackRole.MODEL_SUMMARY: "enable_model_summary",
}


def verify_resume(
    make_module: Callable[[], LightningModule],
    make_data: Callable[[], Any] = lambda: None,
    *,
    trainer_arguments: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
    cuts: int | Sequence[int] = 3,
    seed: int = 0,
    directory: str | PathLike[str] | None = None,
) -> ResumeReport:
    """Find out whether a module and its data, stopped after any batch and resumed, train as if nothing had happened.

    A run without interruption is made twice, the second time with checkpoints written where it could be cut: when a
    batch ends, after its validation, and at its epoch's end. From each of them a new Trainer goes on with a new module
    and new data. Weights, states of optimizers and schedulers, the final metrics and everything that was sent to
    loggers must be the same bit for bit.

    Args:
        make_module: makes the module; called for every run, after seeding.
        make_data: makes the data: a data module, a training loader, or `(training loader, validation loader)`; None
            where the module has its own.
        trainer_arguments: arguments for `Trainer`, or what makes them; they are copied deeply for every run. `logger`
            and `default_root_dir` are replaced.
        cuts: after how many training batches, counted over the whole run; or how many cuts at random.
        seed: seeds every run, and the choice of cuts.
        directory: where checkpoints go; by default a temporary directory, which is removed. In runs of several
            processes give one that all of them see.

    Errors of the first runs are raised; one of a resumed run is part of the report.
    """
    data = _Experiment(make_module, make_data, trainer_arguments, seed)
    with isolate_rng(), _same_environment(), _directory(directory) as root:
        plain = data.run(os.path.join(root, "plain"))
        saving = data.run(os.path.join(root, "saving"), _chosen(cuts, plain["done"], seed))
        repeated = _compare(plain, saving, logged_before=0)
        results = () if repeated else tuple(data.resume(Cut(*cut), plain) for cut in saving["cuts"])
        return ResumeReport(plain["done"], repeated, results)


@dataclass(frozen=True)
class _Experiment:
    """What all runs of a verification have in common."""

    make_module: Callable[[], LightningModule]
    make_data: Callable[[], Any]
    trainer_arguments: Mapping[str, Any] | Callable[[], Mapping[str, Any]]
    seed: int

    def run(self, folder: str, batches: Sequence[int] = (), ckpt_path: str | None = None) -> dict[str, Any]:
        """Train, from the start or from a checkpoint, and return what came of it."""
        seed_everything(self.seed, workers=workers_are_seeded(), verbose=False)
        module, data = self.make_module(), _as_fit_takes_it(self.make_data())
        observer = Observer(MemoryLogger(), folder, batches)
        self._trainer(observer).fit(module, **data, ckpt_path=ckpt_path)
        return _seen(observer.final_path)

    def resume(self, cut: Cut, expected: Mapping[str, Any]) -> CutResult:
        """Go on from a cut, and compare how that comes out."""
        before = len(_seen(cut.path)["logged"])
        try:
            found = self.run(f"{cut.path}.resumed", ckpt_path=cut.path)
        except Exception as error:
            return CutResult(cut.batch, cut.place, failure=f"{type(error).__name__}: {error}")
        return CutResult(cut.batch, cut.place, _compare(expected, found, logged_before=before))

    def _trainer(self, observer: Observer) -> Trainer:
        given = self.trainer_arguments() if callable(self.trainer_arguments) else copy.deepcopy(self.trainer_arguments)
        callbacks = given.get("callbacks") or []
        callbacks = [callbacks] if isinstance(callbacks, Callback) else list(callbacks)
        roles = {callback.role for callback in callbacks}
        quiet = {name: False for role, name in _SHOWN.items() if role not in roles}
        fixed = {"logger": observer.logger, "default_root_dir": observer.folder}
        return Trainer(**{**quiet, **given, **fixed, "callbacks": [*callbacks, observer]})


def _as_fit_takes_it(data: Any) -> dict[str, Any]:
    if data is None:
        return {}
    if isinstance(data, LightningDataModule):
        return {"datamodule": data}
    if isinstance(data, tuple) and len(data) == 2:
        return {"train_dataloaders": data[0], "val_dataloaders": data[1]}
    return {"train_dataloaders": data}


def _seen(path: str) -> dict[str, Any]:
    """Return a checkpoint, and what the observer saw until then."""
    checkpoint = TorchCheckpointIO().load(path, map_location="cpu", weights_only=False)
    return {**checkpoint, **checkpoint[KEY]}


def _compare(expected: Mapping[str, Any], found: Mapping[str, Any], *, logged_before: int) -> Difference | None:
    """Return the first difference; the run that is compared has logged nothing of what came before its start."""
    expected = {**expected, "logged": expected["logged"][logged_before:]}
    differences = (first_difference(expected[key], found[key], name) for key, name in _COMPARED.items())
    return next((one for one in differences if one is not None), None)


def _chosen(cuts: int | Sequence[int], batches: int, seed: int) -> list[int]:
    if isinstance(cuts, int):
        possible = range(1, batches + 1)
        return sorted(random.Random(seed).sample(possible, min(cuts, batches)))
    beyond = [cut for cut in cuts if not 1 <= cut <= batches]
    if beyond:
        reason = f"the run has {batches} training batches."
        raise ConfigurationError([Problem("cuts", beyond, reason, f"Give numbers from 1 to {batches}.")])
    return sorted(set(cuts))


@contextmanager
def _directory(given: str | PathLike[str] | None) -> Iterator[str]:
    if given is not None:
        yield fspath(given)
    else:
        with tempfile.TemporaryDirectory(prefix="verify_resume_") as made:
            yield made


@contextmanager
def _same_environment() -> Iterator[None]:
    """Inside, seeding may leave notes in the environment; afterwards it is as it was."""
    before = {name: os.environ.get(name) for name in (SEED_VARIABLE, WORKERS_VARIABLE)}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
