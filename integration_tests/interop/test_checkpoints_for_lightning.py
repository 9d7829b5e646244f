"""Files that fulmen writes are loaded by Lightning, where it is installed beside fulmen."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from interop_cases import BATCHES, data_class, module_class

import fulmen_core
from fulmen_callbacks import ModelCheckpoint

lightning = pytest.importorskip("lightning.pytorch", reason="Lightning is not installed")
Ours, OurData = module_class(fulmen_core), data_class(fulmen_core)
Theirs, TheirData = module_class(lightning), data_class(lightning)
QUIET: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}

WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "amid an epoch": ({"every_n_train_steps": 7}, {}),
    "at an epoch's last batch": ({"every_n_train_steps": 5}, {"max_epochs": 1}),
    "at an epoch's end": ({"every_n_epochs": 1}, {}),
    "after validation amid an epoch": ({"save_on_train_epoch_end": False}, {"val_check_interval": 2, "max_steps": 8}),
}


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def written(folder: Path, way: str, *, manual: bool = False) -> tuple[Path, Any]:
    """Write a file with fulmen; return it, and the module as it was then."""
    when, arguments = WAYS[way]
    keeper = ModelCheckpoint(dirpath=folder, **when)
    data = OurData(folds=4)
    data.note = "from fulmen"
    trainer = fulmen_core.Trainer(**{"max_epochs": 2, "callbacks": [keeper], **QUIET, **arguments})
    trainer.fit(Ours(width=5, manual=manual), data)
    return Path(keeper.best_model_path), torch.load(keeper.best_model_path, weights_only=True)


@pytest.mark.parametrize("manual", [False, True], ids=["automatic", "manual"])
@pytest.mark.parametrize("way", WAYS)
def test_lightning_goes_on_where_fulmen_stopped(way: str, manual: bool, tmp_path: Path) -> None:
    file, checkpoint = written(tmp_path / "ours", way, manual=manual)
    counted: list[tuple[int, int]] = []

    class Counts(lightning.Callback):  # type: ignore[name-defined,misc]
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
            counted.append((trainer.current_epoch, batch_idx))

    module, data = Theirs(width=5, manual=manual), TheirData()
    trainer = lightning.Trainer(
        max_epochs=3,
        callbacks=[Counts()],
        enable_checkpointing=False,
        accelerator="cpu",
        default_root_dir=tmp_path,
        **QUIET,
    )
    trainer.fit(module, data, ckpt_path=file)
    done = checkpoint["fulmen"]["progress"]["batches_before"] + checkpoint["fulmen"]["progress"]["batches"]["processed"]
    assert counted == [divmod(number, BATCHES) for number in range(done, 3 * BATCHES)]
    assert trainer.current_epoch == 3
    assert trainer.global_step == 3 * BATCHES * (2 if manual else 1)
    assert data.note == "from fulmen"


def test_lightning_ends_with_the_same_weights_from_an_epochs_end(tmp_path: Path) -> None:
    """Amid an epoch Lightning reads its data from the start again, so that only an epoch's end can be compared."""
    file, _ = written(tmp_path / "ours", "at an epoch's end")
    theirs, ours = Theirs(width=5), Ours(width=5)
    arguments = {"max_epochs": 4, "enable_checkpointing": False, "accelerator": "cpu", **QUIET}
    lightning.Trainer(**arguments, default_root_dir=tmp_path).fit(theirs, TheirData(), ckpt_path=file)
    fulmen_core.Trainer(**arguments).fit(ours, OurData(), ckpt_path=file)
    for one, other in zip(theirs.parameters(), ours.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("way", WAYS)
def test_lightning_makes_modules_and_data_again(way: str, tmp_path: Path) -> None:
    file, checkpoint = written(tmp_path, way)
    module = Theirs.load_from_checkpoint(file)
    assert dict(module.hparams) == {"width": 5, "lr": 0.1, "manual": False}
    assert all(torch.equal(value, checkpoint["state_dict"][key]) for key, value in module.state_dict().items())
    data = TheirData.load_from_checkpoint(file)
    assert data.hparams.folds == 4


def test_the_loops_that_both_libraries_write_have_the_same_form(tmp_path: Path) -> None:
    """Key by key, in Lightning's order, for the same moment of the same training."""
    _, ours = written(tmp_path / "ours", "amid an epoch")
    keeper = lightning.callbacks.ModelCheckpoint(dirpath=tmp_path / "theirs", every_n_train_steps=7)
    trainer = lightning.Trainer(
        max_epochs=2, callbacks=[keeper], accelerator="cpu", default_root_dir=tmp_path / "theirs", **QUIET
    )
    data = TheirData(folds=4)
    trainer.fit(Theirs(width=5), data)
    theirs = torch.load(keeper.best_model_path, weights_only=True)
    assert [key for key in ours if key != "fulmen"] == list(theirs)
    assert form(ours["loops"]) == form(theirs["loops"])
    assert list(ours["callbacks"]) == list(theirs["callbacks"])


def form(value: Any) -> Any:
    """Return nested keys in their order, and the types of values."""
    if isinstance(value, dict):
        return [(key, form(part)) for key, part in value.items()]
    return type(value)
