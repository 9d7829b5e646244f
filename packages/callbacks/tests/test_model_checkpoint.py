from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from simulated_fit import SimulatedFit

from fulmen_callbacks import Checkpoint, ModelCheckpoint, OnExceptionCheckpoint
from fulmen_interfaces import (
    CALLBACKS,
    CallbackOrder,
    CallbackRole,
    Catalogue,
    CheckpointCallback,
    ConfigurationError,
    SupportsFindingLast,
    World,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.ckpt"))


def step_of(path: str | Path) -> int:
    return int(torch.load(path)["global_step"])


def test_it_is_the_default_checkpoint_callback() -> None:
    found = Catalogue.installed().find(CALLBACKS, "model_checkpoint")
    assert found.spec.role is CallbackRole.CHECKPOINT
    callback = found.create()
    assert isinstance(callback, ModelCheckpoint)
    assert isinstance(callback, CheckpointCallback)
    assert isinstance(callback, SupportsFindingLast)
    assert callback.order is CallbackOrder.CHECKPOINT


def test_names_are_filled_in(tmp_path: Path) -> None:
    metrics = {"epoch": torch.tensor(3), "step": torch.tensor(40), "val/loss": torch.tensor(0.123456)}
    callback = ModelCheckpoint(dirpath=tmp_path)
    name = callback.format_checkpoint_name
    assert name(metrics) == str(tmp_path / "epoch=3-step=40.ckpt")
    assert name(metrics, "{epoch:02d}-{val/loss:.2f}") == str(tmp_path / "epoch=03-val/loss=0.12.ckpt")
    assert name(metrics, "{absent}", ver=2) == str(tmp_path / "absent=0-v2.ckpt")
    assert name(metrics, "x", prefix="p") == str(tmp_path / "p-x.ckpt")
    callback.auto_insert_metric_name = False
    assert name(metrics, "m-{step:06d}.{val/loss:.1f}") == str(tmp_path / "m-000040.0.1.ckpt")


def test_a_metric_in_a_name_that_was_not_logged_is_told(tmp_path: Path, make_trainer: Any, module: Any) -> None:
    callback = ModelCheckpoint(dirpath=tmp_path, filename="{epoch}-{val_loss:.1f}")
    with pytest.warns(UserWarning, match="has 0 for 'val_loss', which has not been logged .* Did you mean 'val/loss'"):
        SimulatedFit(make_trainer(), module, callback, max_epochs=1).run()
    assert names(tmp_path) == ["epoch=0-val_loss=0.0.ckpt"]


def test_a_subclass_may_keep_more_beside_each_checkpoint(tmp_path: Path, make_trainer: Any, module: Any) -> None:
    class WithNotes(ModelCheckpoint):
        def _save_checkpoint(self, trainer: Any, filepath: str) -> None:
            super()._save_checkpoint(trainer, filepath)
            Path(filepath).with_suffix(".txt").write_text(str(trainer.global_step))

        def _remove_checkpoint(self, trainer: Any, filepath: str) -> None:
            super()._remove_checkpoint(trainer, filepath)
            Path(filepath).with_suffix(".txt").unlink()

    callback = WithNotes(tmp_path, filename="{epoch}", monitor="val/loss", save_top_k=2)
    SimulatedFit(make_trainer(), module, callback, vals=[3, 2, 1, 4]).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch=1.ckpt",
        "epoch=1.txt",
        "epoch=2.ckpt",
        "epoch=2.txt",
    ]
    assert (tmp_path / "epoch=2.txt").read_text() == "12"


def test_the_words_of_names_may_be_changed(tmp_path: Path, make_trainer: Any, module: Any) -> None:
    class Mine(ModelCheckpoint):
        CHECKPOINT_EQUALS_CHAR = ":"
        CHECKPOINT_JOIN_CHAR = "_"
        CHECKPOINT_NAME_LAST = "{epoch}-newest"
        FILE_EXTENSION = ".pt"

    callback = Mine(dirpath=tmp_path, save_last=True)
    SimulatedFit(make_trainer(callbacks=[callback]), module, callback, max_epochs=2).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch:1-newest.pt", "epoch:1_step:8.pt"]


def test_the_state_key_tells_callbacks_apart() -> None:
    assert ModelCheckpoint(monitor="val_loss").state_key == (
        "ModelCheckpoint{'monitor': 'val_loss', 'mode': 'min', 'every_n_train_steps': 0, 'every_n_epochs': 1, "
        "'train_time_interval': None}"
    )
    timed = ModelCheckpoint(train_time_interval=datetime.timedelta(seconds=5))
    assert timed.state_key.endswith("'every_n_epochs': 0, 'train_time_interval': datetime.timedelta(seconds=5)}")


@pytest.mark.parametrize(
    ("arguments", "argument", "says"),
    [
        ({"save_top_k": -2}, "save_top_k", "-1 or more"),
        ({"save_top_k": 2}, "save_top_k", "monitor"),
        ({"mode": "best"}, "mode", "'min', 'max'"),
        ({"save_last": "copy"}, "save_last", "'link'"),
        ({"every_n_train_steps": -1}, "every_n_train_steps", "0 or more"),
        ({"every_n_epochs": -1}, "every_n_epochs", "0 or more"),
        ({"every_n_epochs": 1, "every_n_train_steps": 2}, "every_n_train_steps", "every_n_epochs"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any], argument: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ModelCheckpoint(**arguments)
    assert [problem.argument for problem in caught.value.problems] == [argument]
    assert says in str(caught.value)


@pytest.mark.parametrize("when", [{}, {"save_on_train_epoch_end": False}])
def test_a_metric_that_is_never_logged_is_an_error(when: Any, make_trainer: Any, module: Any) -> None:
    callback = ModelCheckpoint(monitor="val/los", **when)
    with pytest.raises(ConfigurationError, match=r"Did you mean 'val/loss'\?.*self\.log\('val/los'"):
        SimulatedFit(make_trainer(), module, callback).run()


def test_a_metric_that_may_still_come_is_a_warning(make_trainer: Any, module: Any) -> None:
    callback = ModelCheckpoint(monitor="val/loss", save_on_train_epoch_end=True)
    trainer = make_trainer(check_val_every_n_epoch=2)
    with pytest.warns(UserWarning, match="does not save: monitor='val/loss': No metric of that name"):
        SimulatedFit(trainer, module, callback, max_epochs=2).run()
    assert [step_of(path) for path in trainer.saved] == [8]


def test_a_metric_that_steps_wait_for_in_vain_is_told_at_the_end(make_trainer: Any, module: Any) -> None:
    callback = ModelCheckpoint(monitor="nope", every_n_train_steps=3)
    trainer = make_trainer()
    with pytest.warns(UserWarning, match="saved nothing.*'epoch', 'step', 'val/loss'"):
        SimulatedFit(trainer, module, callback).run()
    assert trainer.saved == []


def test_files_of_others_are_neither_overwritten_nor_removed(tmp_path: Path, make_trainer: Any, module: Any) -> None:
    (tmp_path / "best.ckpt").write_text("mine")
    (tmp_path / "last.ckpt").write_text("mine")
    (tmp_path / "best-v1.ckpt").write_text("mine")
    callback = ModelCheckpoint(dirpath=tmp_path, filename="best", monitor="val/loss", save_last=True)
    with pytest.warns(UserWarning, match="not empty"):
        SimulatedFit(make_trainer(callbacks=[callback]), module, callback).run()
    assert names(tmp_path) == ["best-v1.ckpt", "best-v2.ckpt", "best.ckpt", "last-v1.ckpt", "last.ckpt"]
    assert {(tmp_path / name).read_bytes() for name in ("best.ckpt", "best-v1.ckpt", "last.ckpt")} == {b"mine"}
    assert step_of(callback.best_model_path) == 12


def test_a_failing_run_never_overwrites_a_ranked_checkpoint(tmp_path: Path, make_trainer: Any, module: Any) -> None:
    callback = ModelCheckpoint(
        dirpath=tmp_path, filename="best", monitor="val/loss", save_top_k=2, save_on_exception=True
    )
    trainer = make_trainer(callbacks=[callback])
    SimulatedFit(trainer, module, callback, fail_at=9).run()
    assert {path: step_of(path) for path in map(str, tmp_path.iterdir())} == {
        str(tmp_path / "best.ckpt"): 4,
        str(tmp_path / "best-v1.ckpt"): 8,
        str(tmp_path / "best-v2.ckpt"): 9,
    }
    assert set(callback.best_k_models) == {str(tmp_path / "best.ckpt"), str(tmp_path / "best-v1.ckpt")}


def test_the_link_leads_to_the_newest_and_survives_a_move(tmp_path: Path, make_trainer: Any, module: Any) -> None:
    callback = ModelCheckpoint(dirpath=tmp_path / "a", save_last="link")
    SimulatedFit(make_trainer(callbacks=[callback]), module, callback).run()
    os.rename(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "last.ckpt").is_symlink()
    assert step_of(tmp_path / "b" / "last.ckpt") == 16


def test_the_link_leads_to_a_checkpoint_also_while_another_goes(tmp_path: Path, make_trainer: Any, module: Any) -> None:
    callback = ModelCheckpoint(dirpath=tmp_path, save_last="link")
    trainer = make_trainer(callbacks=[callback])
    remove, seen = trainer.remove_checkpoint, []

    def removing(path: str) -> None:
        remove(path)
        seen.append((tmp_path / "last.ckpt").exists())

    trainer.remove_checkpoint = removing
    SimulatedFit(trainer, module, callback).run()
    assert seen
    assert all(seen)


def test_a_run_that_goes_on_from_the_link_replaces_it(tmp_path: Path, make_trainer: Any, module: Any) -> None:
    """The file to which it leads was written before the link was made, and does not know of it."""
    first = ModelCheckpoint(dirpath=tmp_path, save_last="link")
    SimulatedFit(make_trainer(callbacks=[first]), module, first, max_epochs=1).run()
    second = ModelCheckpoint(dirpath=tmp_path, save_last="link")
    trainer = make_trainer(callbacks=[second])
    trainer.ckpt_path = str(tmp_path / "last.ckpt")
    SimulatedFit(trainer, module, second).run(torch.load(trainer.ckpt_path))
    assert names(tmp_path) == ["epoch=3-step=16.ckpt", "last.ckpt"]
    assert step_of(tmp_path / "last.ckpt") == 16


@pytest.mark.parametrize(
    ("version", "folder"), [(3, "version_3"), ("blue", "blue")], ids=["numbered version", "named version"]
)
def test_checkpoints_lie_beside_the_first_loggers_files(
    version: Any, folder: str, tmp_path: Path, make_trainer: Any, module: Any, memory_logger: Any
) -> None:
    loggers = [memory_logger(str(tmp_path / "logs"), "exp", version), memory_logger(str(tmp_path / "other"))]
    callback = ModelCheckpoint()
    trainer = make_trainer(callbacks=[callback], loggers=loggers)
    SimulatedFit(trainer, module, callback, max_epochs=1).run()
    expected = str(tmp_path / "logs" / "exp" / folder / "checkpoints" / "epoch=0-step=4.ckpt")
    assert trainer.saved == [expected]
    assert loggers[0].saved == loggers[1].saved == [expected]


def test_without_a_logger_they_lie_below_the_default_root(tmp_path: Path, make_trainer: Any, module: Any) -> None:
    trainer = make_trainer()
    SimulatedFit(trainer, module, ModelCheckpoint(), max_epochs=1).run()
    assert trainer.saved == [str(tmp_path / "checkpoints" / "epoch=0-step=4.ckpt")]


def test_nothing_happens_outside_of_fit_and_in_trial_runs(tmp_path: Path, make_trainer: Any, module: Any) -> None:
    callback = ModelCheckpoint(save_last=True)
    trainer = make_trainer(fast_dev_run=True)
    SimulatedFit(trainer, module, callback).run()
    callback.setup(make_trainer(), module, "validate")
    trainer.fast_dev_run = False
    trainer.global_step = 7
    callback.on_validation_end(trainer, module)
    assert trainer.saved == []


def test_weights_only_is_passed_on(tmp_path: Path, make_trainer: Any, module: Any) -> None:
    callback = ModelCheckpoint(save_weights_only=True)
    SimulatedFit(make_trainer(callbacks=[callback]), module, callback, max_epochs=1).run()
    assert torch.load(callback.best_model_path)["callbacks"] == {}


def test_each_checkpoint_holds_the_state_with_itself_in_it(tmp_path: Path, make_trainer: Any, module: Any) -> None:
    callback = ModelCheckpoint(monitor="val/loss", save_last=True)
    trainer = make_trainer(callbacks=[callback])
    SimulatedFit(trainer, module, callback, max_epochs=3).run()
    state = torch.load(callback.last_model_path)["callbacks"][callback.state_key]
    assert state["best_model_path"] == callback.best_model_path
    assert state["last_model_path"] == callback.last_model_path
    assert list(state) == [
        "monitor",
        "best_model_score",
        "best_model_path",
        "current_score",
        "dirpath",
        "best_k_models",
        "kth_best_model_path",
        "kth_value",
        "last_model_path",
    ]


def test_another_directory_begins_a_new_ranking(tmp_path: Path, make_trainer: Any, module: Any) -> None:
    first = ModelCheckpoint(dirpath=tmp_path / "a", monitor="val/loss")
    SimulatedFit(make_trainer(callbacks=[first]), module, first, vals=[1.0]).run()
    second = ModelCheckpoint(dirpath=tmp_path / "b", monitor="val/loss")
    with pytest.warns(UserWarning, match="ranking begins anew"):
        second.load_state_dict(first.state_dict())
    assert second.best_model_path == first.best_model_path
    assert second.best_k_models == {}


def test_a_second_fit_with_the_same_callback_saves_again(tmp_path: Path, make_trainer: Any, module: Any) -> None:
    callback = ModelCheckpoint()
    for _ in range(2):
        trainer = make_trainer(callbacks=[callback])
        SimulatedFit(trainer, module, callback, max_epochs=1).run()
        assert trainer.saved == [str(tmp_path / "checkpoints" / "epoch=0-step=4.ckpt")]


def test_last_checkpoints_of_earlier_runs_are_found(tmp_path: Path, make_trainer: Any) -> None:
    for name in ("last.ckpt", "last-v1.ckpt", "last-v12.ckpt", "lasting.ckpt", "epoch=1.ckpt", "last-vx.ckpt", "last"):
        (tmp_path / name).touch()
    callback = ModelCheckpoint(dirpath=tmp_path, save_last=True)
    found = callback.find_last_checkpoints(make_trainer())
    assert sorted(map(os.path.basename, found)) == ["last-v1.ckpt", "last-v12.ckpt", "last.ckpt"]
    assert ModelCheckpoint().find_last_checkpoints(make_trainer(default_root_dir="/nowhere")) == set()


def test_best_models_are_listed_as_yaml(tmp_path: Path, make_trainer: Any, module: Any) -> None:
    callback = ModelCheckpoint(monitor="val/loss", save_top_k=2)
    SimulatedFit(make_trainer(callbacks=[callback]), module, callback).run()
    callback.to_yaml()
    with open(tmp_path / "checkpoints" / "best_k_models.yaml") as file:
        assert yaml.safe_load(file) == {path: score.item() for path, score in callback.best_k_models.items()}


def test_rank_zero_decides_for_all(tmp_path: Path, make_trainer: Any, module: Any, in_ranks: Any) -> None:
    def fit(rank: int, collectives: Any) -> tuple[Any, ...]:
        callback = ModelCheckpoint(
            dirpath=tmp_path if rank == 0 else tmp_path / "never", monitor="val/loss", save_top_k=2, save_last=True
        )
        trainer = make_trainer(callbacks=[callback], world=World(rank=rank, size=2), collectives=collectives)
        vals = [3.0, 2.0, 1.0, 4.0] if rank == 0 else [1.0, 2.0, 3.0, 4.0]
        SimulatedFit(trainer, module, callback, vals=vals).run()
        return callback.best_model_path, callback.last_model_path, set(callback.best_k_models), trainer.saved

    (tmp_path / "last.ckpt").touch()
    with pytest.warns(UserWarning, match="not empty"):
        zero, one = in_ranks(2, fit)
    assert zero == one
    assert zero[0] == str(tmp_path / "epoch=2-step=12.ckpt")
    assert names(tmp_path) == ["epoch=1-step=8.ckpt", "epoch=2-step=12.ckpt", "last-v1.ckpt", "last.ckpt"]


def test_time_passes_by_the_clock_of_rank_zero(tmp_path: Path, make_trainer: Any, module: Any, in_ranks: Any) -> None:
    def fit(rank: int, collectives: Any) -> list[str]:
        interval = datetime.timedelta(0) if rank == 0 else datetime.timedelta(days=1)
        callback = ModelCheckpoint(dirpath=tmp_path, train_time_interval=interval)
        trainer = make_trainer(callbacks=[callback], world=World(rank=rank, size=2), collectives=collectives)
        SimulatedFit(trainer, module, callback, max_epochs=1).run()
        return list(trainer.saved)

    zero, one = in_ranks(2, fit)
    assert zero == one
    assert [os.path.basename(path) for path in zero] == [f"epoch=0-step={step}.ckpt" for step in (1, 2, 3, 4)]


def test_a_failure_is_kept_until_a_run_ends_well(tmp_path: Path, make_trainer: Any, module: Any) -> None:
    callback = OnExceptionCheckpoint(tmp_path / "deep")
    assert isinstance(callback, Checkpoint)
    SimulatedFit(make_trainer(), module, callback, fail_at=6).run()
    assert step_of(callback.ckpt_path) == 6
    assert callback.ckpt_path == str(tmp_path / "deep" / "on_exception.ckpt")
    SimulatedFit(make_trainer(), module, callback).run()
    assert names(tmp_path) == []
    with pytest.raises(ConfigurationError):
        OnExceptionCheckpoint(tmp_path, "")
