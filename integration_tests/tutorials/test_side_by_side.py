"""The same program under Lightning, with only its imports changed: the same weights, metrics and files.

Where Lightning is not installed these tests are skipped. Compared are the cases in which both mean the same; where they
differ on purpose stands in `docs/differences.md`.
"""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("lightning.pytorch")
pytestmark = pytest.mark.filterwarnings("ignore")

PROGRAMS = {
    "autoencoder": ["main", "from_parts"],
    "gan": ["main"],
    "classifier": ["step", "one_cycle", "warmup", "plateau"],
    "measured": ["main", "collection"],
    "several_loaders": ["evaluation", "by_name", "as_list", "min_size", "max_size", "max_size_cycle"],
    "transfer_learning": [
        *["main", "fine_tuning", "accumulated", "clipped_by_norm", "clipped_by_value", "with_norms"],
        *["overfitted", "limited", "trial"],
    ],
    "lbfgs": ["main", "clipped"],
    "language_model": ["main", "truncated"],
    "production": ["main"],
    "extensions": ["main"],
    "recipes": ["warm_up", "online_classifier", "reinforcement", "two_splits"],
    "cross_validation": ["main", "before_fit", "one_data_module_for_two"],
}
CASES = [(name, form) for name, forms in PROGRAMS.items() for form in forms]


def run(load, name: str, form: str, package: str, folder: Path) -> SimpleNamespace:
    if name == "measured":
        pytest.importorskip("torchmetrics")
    folder.mkdir()
    os.chdir(folder)
    return getattr(load(name, package), form)()


@pytest.fixture
def both(load, tmp_path):
    def both(name: str, form: str) -> tuple[SimpleNamespace, SimpleNamespace]:
        theirs = run(load, name, form, "lightning.pytorch", tmp_path / "theirs")
        return theirs, run(load, name, form, "fulmen", tmp_path / "ours")

    return both


@pytest.mark.parametrize(("name", "form"), CASES, ids=["-".join(case) for case in CASES])
def test_weights_metrics_and_files_are_the_same(both, tmp_path, name: str, form: str) -> None:
    theirs, ours = both(name, form)
    assert_same_weights(theirs.weights, ours.weights)
    assert_close(vars(theirs), vars(ours), ["metrics", "tested", "validated", "results", "after", "rates", "losses"])
    for word in ("seen", "steps", "epochs", "names", "bar", "shown", "text", "calls", "evaluations", "batches"):
        if word in vars(theirs) and not (name == "extensions" and word == "seen"):  # `str(stage)` differs there
            assert getattr(ours, word) == getattr(theirs, word), word
    assert_same_files(tmp_path / "theirs", tmp_path / "ours")


def assert_same_weights(theirs, ours) -> None:
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


def assert_close(theirs, ours, words: list[str]) -> None:
    for word in words:
        if word in theirs:
            compare(theirs[word], ours[word], word)


def compare(theirs, ours, where: str) -> None:
    """Keys and lengths are the same; numbers are, up to the rounding of single precision."""
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs), where
        for key in theirs:
            compare(theirs[key], ours[key], f"{where}[{key}]")
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), where
        for at, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            compare(one, other, f"{where}[{at}]")
    else:
        assert math.isclose(float(theirs), float(ours), rel_tol=1e-5, abs_tol=1e-7), (where, theirs, ours)


def assert_same_files(theirs: Path, ours: Path) -> None:
    names = {folder: {str(file.relative_to(folder)) for file in folder.rglob("*.*")} for folder in (theirs, ours)}
    assert names[ours] == {name.replace("lightning_logs", "fulmen_logs") for name in names[theirs]}
    for name in sorted(names[theirs]):
        here, there = theirs / name, ours / name.replace("lightning_logs", "fulmen_logs")
        if name.endswith("metrics.csv"):
            compare(table(here), table(there), name)
        elif name.endswith("hparams.yaml"):
            plain = here.read_text().replace(" !!python/tuple", "")  # ours has no tags
            assert sorted(there.read_text().splitlines()) == sorted(plain.splitlines())
        elif name.endswith(".ckpt"):
            assert_same_checkpoints(here, there)


def table(file: Path) -> list[dict[str, float]]:
    with open(file, newline="") as lines:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(lines)]


def assert_same_checkpoints(theirs: Path, ours: Path) -> None:
    here = torch.load(theirs, weights_only=False)
    there = torch.load(ours, weights_only=True)
    assert set(there) - {"fulmen"} == set(here)
    assert_same_weights(here["state_dict"], there["state_dict"])
    assert set(there.get("callbacks", ())) == set(here.get("callbacks", ()))
    for word in ("epoch", "global_step", "hparams_name", "hyper_parameters", "datamodule_hyper_parameters"):
        assert there.get(word) == here.get(word), word


@pytest.mark.parametrize(("writer", "reader"), [("lightning.pytorch", "fulmen"), ("fulmen", "lightning.pytorch")])
def test_a_model_saved_by_one_is_loaded_by_the_other(load, tmp_path, writer: str, reader: str) -> None:
    written = run(load, "autoencoder", "main", writer, tmp_path / "written")
    path = tmp_path / "written" / written.checkpoint.best_model_path
    loaded = load("autoencoder", reader).LitAutoEncoder.load_from_checkpoint(path)
    assert dict(loaded.hparams) == {"hidden": 24, "latent": 3, "lr": 1e-2}
    assert_same_weights(written.best.state_dict(), loaded.state_dict())


@pytest.mark.parametrize(("writer", "reader"), [("lightning.pytorch", "fulmen"), ("fulmen", "lightning.pytorch")])
def test_a_fit_that_one_began_is_finished_by_the_other(load, tmp_path, writer: str, reader: str) -> None:
    """Without dropout and shuffling, so that no random numbers take part: those Lightning does not keep."""

    def fit(package: str, epochs: int, **arguments):
        program = load("cross_validation", package)
        program.L.seed_everything(4)
        model = program.LitModel()
        trainer = program.L.Trainer(max_epochs=epochs, logger=False, accelerator="cpu", enable_progress_bar=False)
        trainer.fit(model, torch.utils.data.DataLoader(program.data(), batch_size=8), **arguments)
        return model.state_dict(), trainer.checkpoint_callback.best_model_path

    os.chdir(tmp_path)
    whole, _ = fit(reader, 3)
    _, path = fit(writer, 1)
    finished, _ = fit(reader, 3, ckpt_path=path)
    assert_same_weights(whole, finished)
