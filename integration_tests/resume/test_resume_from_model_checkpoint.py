"""Every file that ModelCheckpoint leaves is resumed from; what comes out is compared here, by hand."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from resume_cases import Case

import fulmen_core as L
from fulmen_callbacks import EarlyStopping, ModelCheckpoint, OnExceptionCheckpoint
from fulmen_core import AsyncCheckpointIO, Trainer
from fulmen_interfaces import Callback
from fulmen_testing import FakeLogger

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoints go to", "ignore:The checkpoint holds states of callbacks")

TRIGGERS = {
    "steps": {"every_n_train_steps": 2},
    "validation": {"save_on_train_epoch_end": False},
    "epoch": {"save_on_train_epoch_end": True},
}


@dataclass
class Outcome:
    """What a run came to."""

    module: L.LightningModule
    trainer: Trainer
    logger: FakeLogger
    keeper: ModelCheckpoint


def run(case: Case, folder: Path, trigger: dict[str, Any], ckpt_path: Path | None = None, **arguments: Any) -> Outcome:
    L.seed_everything(7, verbose=False)
    module, (train, validation) = case.make_module(), case.make_data()
    logger = FakeLogger()
    keeper = ModelCheckpoint(dirpath=folder, save_top_k=-1, filename="{epoch}-{step}", **trigger)
    trainer = Trainer(
        **{
            **case.trainer_arguments(),
            "enable_checkpointing": True,
            "callbacks": [keeper, EarlyStopping("loss", patience=20)],
            "logger": logger,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            **arguments,
        }
    )
    trainer.fit(module, train, validation, ckpt_path=ckpt_path)
    return Outcome(module, trainer, logger, keeper)


def same(one: Any, other: Any) -> bool:
    """Compare nested values; tensors by all their bits."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("trigger", TRIGGERS.values(), ids=TRIGGERS)
@pytest.mark.parametrize(
    "case",
    [
        Case(
            "adam", scheduler="plateau_epoch", augment="torch", accumulate=2, val_check_interval=3, log_every_n_steps=1
        ),
        Case(
            "momentum", optimizer="momentum", scheduler="one_cycle", accumulate=3, random_validation=True, unsized=True
        ),
    ],
    ids=lambda case: case.name,
)
def test_each_file_leads_to_the_same_end(case: Case, trigger: dict[str, Any], tmp_path: Path) -> None:
    whole = run(case, tmp_path / "whole", trigger)
    files = sorted((tmp_path / "whole").glob("*.ckpt"))
    assert len(files) >= 2
    for number, file in enumerate(files):
        resumed = run(case, tmp_path / f"resumed{number}", trigger, ckpt_path=file)
        assert same(dict(resumed.module.state_dict()), dict(whole.module.state_dict())), file
        for one, other in zip(resumed.trainer.optimizers, whole.trainer.optimizers, strict=True):
            assert same(one.state_dict(), other.state_dict()), file
        for one, other in zip(resumed.trainer.lr_scheduler_configs, whole.trainer.lr_scheduler_configs, strict=True):
            assert same(vars(one.scheduler) | {"optimizer": None}, vars(other.scheduler) | {"optimizer": None}), file
        assert same(resumed.trainer.callback_metrics, whole.trainer.callback_metrics), file
        tail = whole.logger.metrics[len(whole.logger.metrics) - len(resumed.logger.metrics) :]
        assert resumed.logger.metrics == tail, file
        assert resumed.trainer.global_step == whole.trainer.global_step
        assert resumed.trainer.current_epoch == whole.trainer.current_epoch


def test_the_logger_receives_exactly_what_follows_the_file(tmp_path: Path) -> None:
    """The lengths of what was logged before and after the cut add up, so that nothing is lost or sent twice."""
    case = Case(log_every_n_steps=1, val_check_interval=2)
    logged: dict[str, int] = {}

    class Noting(ModelCheckpoint):
        def _save_checkpoint(self, trainer: Any, path: str) -> None:
            logged[path] = len(trainer.logger.metrics)
            super()._save_checkpoint(trainer, path)

    L.seed_everything(7, verbose=False)
    module, (train, validation) = case.make_module(), case.make_data()
    logger = FakeLogger()
    keeper = Noting(dirpath=tmp_path, every_n_train_steps=3, save_top_k=-1)
    arguments = {**case.trainer_arguments(), "enable_checkpointing": True, "enable_progress_bar": False}
    Trainer(**{**arguments, "callbacks": [keeper], "logger": logger}).fit(module, train, validation)
    assert len(logged) == 4
    for path, count in logged.items():
        resumed = run(case, tmp_path / "resumed", {"every_n_train_steps": 100}, ckpt_path=Path(path))
        assert logger.metrics[count:] == resumed.logger.metrics


def test_stopping_early_is_remembered(tmp_path: Path) -> None:
    """A checkpoint that was written when training had been asked to stop ends there again."""
    case = Case(max_epochs=6)

    def ask_to_stop() -> None:
        module.trainer.should_stop = module.current_epoch == 1

    L.seed_everything(7, verbose=False)
    module, (train, validation) = case.make_module(), case.make_data()
    module.on_validation_epoch_end = ask_to_stop  # type: ignore[method-assign]
    keeper = ModelCheckpoint(dirpath=tmp_path, filename="{epoch}", save_top_k=-1)
    arguments = {**case.trainer_arguments(), "enable_checkpointing": True, "enable_progress_bar": False}
    Trainer(**arguments, callbacks=[keeper], logger=False).fit(module, train, validation)
    assert sorted(file.name for file in tmp_path.glob("*.ckpt")) == ["epoch=0.ckpt", "epoch=1.ckpt"]
    resumed = run(case, tmp_path / "resumed", TRIGGERS["epoch"], ckpt_path=tmp_path / "epoch=1.ckpt")
    assert resumed.trainer.current_epoch == 2
    assert same(dict(resumed.module.state_dict()), dict(module.state_dict()))


def test_stopping_early_is_remembered_however_often_a_run_is_resumed(tmp_path: Path) -> None:
    """The file that is rewritten when the resumed run ends remembers it, too; one saved after the run does not."""
    case = Case(max_epochs=6)

    class StopsAfterTwo(Callback):
        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            trainer.should_stop = trainer.current_epoch == 1

    def fit(ckpt_path: Path | None) -> tuple[Trainer, L.LightningModule]:
        L.seed_everything(7, verbose=False)
        module, (train, validation) = case.make_module(), case.make_data()
        keeper = ModelCheckpoint(dirpath=tmp_path, save_last=True, save_top_k=0)
        arguments = {**case.trainer_arguments(), "enable_checkpointing": True, "enable_progress_bar": False}
        trainer = Trainer(**arguments, callbacks=[StopsAfterTwo(), keeper], logger=False)
        trainer.fit(module, train, validation, ckpt_path=ckpt_path)
        return trainer, module

    first, weights = fit(None)
    for _ in range(3):
        resumed, module = fit(tmp_path / "last.ckpt")
        assert (resumed.current_epoch, resumed.global_step) == (2, first.global_step)
        assert same(dict(module.state_dict()), dict(weights.state_dict()))
    first.save_checkpoint(tmp_path / "after.ckpt")
    assert fit(tmp_path / "after.ckpt")[0].current_epoch > 2


def test_more_steps_go_on_in_the_epoch_that_the_limit_cut(tmp_path: Path) -> None:
    """A file of the end of an epoch that max_steps had cut short: with a larger limit the rest of it follows."""
    case = Case(augment="torch")
    whole = run(case, tmp_path / "whole", TRIGGERS["epoch"], max_steps=9)
    short = run(case, tmp_path / "short", TRIGGERS["epoch"], max_steps=4)
    assert Path(short.keeper.best_model_path).name == "epoch=0-step=4.ckpt"
    longer = run(case, tmp_path / "longer", TRIGGERS["epoch"], Path(short.keeper.best_model_path), max_steps=9)
    assert same(dict(longer.module.state_dict()), dict(whole.module.state_dict()))
    assert (longer.trainer.global_step, longer.trainer.current_epoch) == (9, whole.trainer.current_epoch)


@pytest.mark.parametrize("more", [{}, {"max_time": {"hours": 5}}], ids=["no limit", "a longer one"])
def test_a_run_that_max_time_ended_goes_on(more: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlike one that stopped early. The clock is turned ahead when the fourth step is done."""
    present = time.monotonic

    class TurnsTheClock(Callback):
        def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
            if trainer.global_step == 4:
                monkeypatch.setattr(time, "monotonic", lambda: present() + 3600)

    case = Case(augment="torch")
    whole = run(case, tmp_path / "whole", TRIGGERS["epoch"])
    keeper = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=1, save_last=True)
    limited = {"callbacks": [TurnsTheClock(), keeper], "max_time": {"minutes": 30}}
    short = run(case, tmp_path / "short", TRIGGERS["epoch"], **limited)
    assert short.trainer.global_step < whole.trainer.global_step
    longer = run(case, tmp_path / "longer", TRIGGERS["epoch"], tmp_path / "last.ckpt", **more)
    assert same(dict(longer.module.state_dict()), dict(whole.module.state_dict()))
    assert longer.trainer.global_step == whole.trainer.global_step
    over = run(case, tmp_path / "over", TRIGGERS["epoch"], tmp_path / "last.ckpt", max_time={"minutes": 30})
    assert over.trainer.global_step == short.trainer.global_step


def test_a_failed_run_goes_on_from_what_it_left(tmp_path: Path) -> None:
    """With OnExceptionCheckpoint alone, "last" is the moment of the error; a run that ends well leaves nothing."""
    case = Case(max_epochs=2)

    def fit(fails_at: int | None, ckpt_path: str | None) -> L.LightningModule:
        L.seed_everything(7, verbose=False)
        module, (train, validation) = case.make_module(), case.make_data()

        class Fails(Callback):
            def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
                if trainer.global_step == fails_at:
                    raise OSError("power cut")

        arguments = {**case.trainer_arguments(), "enable_checkpointing": True, "enable_progress_bar": False}
        keepers = [OnExceptionCheckpoint(tmp_path), Fails()]
        Trainer(**arguments, callbacks=keepers, logger=False).fit(module, train, validation, ckpt_path=ckpt_path)
        return module

    whole = fit(None, None)
    with pytest.raises(OSError, match="power cut"):
        fit(3, None)
    assert [file.name for file in tmp_path.iterdir()] == ["on_exception.ckpt"]
    resumed = fit(None, "last")
    assert same(dict(resumed.state_dict()), dict(whole.state_dict()))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("save_last", [True, "link"])
def test_the_newest_of_a_remote_store_is_found(save_last: Any, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    case, folder = Case(max_epochs=2), f"memory://{tmp_path.name}/kept"

    def train(epochs: int, ckpt_path: str | None) -> Trainer:
        module, (train_data, validation) = case.make_module(), case.make_data()
        keeper = ModelCheckpoint(dirpath=folder, monitor="val_loss", save_top_k=1, save_last=save_last)
        arguments = {**case.trainer_arguments(), "max_epochs": epochs, "enable_checkpointing": True}
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = Trainer(**arguments, **quiet, callbacks=[keeper], default_root_dir=tmp_path)
        trainer.fit(module, train_data, validation, ckpt_path=ckpt_path)
        return trainer

    first = train(2, None)
    names = [Path(path).name for path in fsspec.filesystem("memory").ls(f"/{tmp_path.name}/kept", detail=False)]
    assert sorted(names) == sorted(["last.ckpt", Path(first.checkpoint_callback.best_model_path).name])
    assert train(3, "last").global_step == first.global_step // 2 * 3


def test_a_link_to_what_is_still_being_written_leads_there_in_the_end(tmp_path: Path) -> None:
    case, folder = Case(max_epochs=2), tmp_path / "kept"
    keeper = ModelCheckpoint(dirpath=folder, save_last="link", every_n_train_steps=1)
    arguments = {**case.trainer_arguments(), "enable_checkpointing": True, "logger": False}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "default_root_dir": tmp_path}
    trainer = Trainer(**arguments, **quiet, callbacks=[keeper], plugins=[AsyncCheckpointIO()])
    trainer.fit(case.make_module(), *case.make_data())
    assert sorted(path.name for path in folder.iterdir()) == sorted([Path(keeper.best_model_path).name, "last.ckpt"])
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == trainer.global_step
