"""Files that Lightning 2.6.6 wrote (see write_fixtures.py) are loaded, and training goes on from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from interop_cases import BATCHES, data_class, module_class, sgd, train_by_hand

import fulmen_core
from fulmen_callbacks import ModelCheckpoint
from fulmen_core import Trainer
from fulmen_interfaces import CheckpointError

FILES = Path(__file__).parent / "fixtures"
Small, SmallData = module_class(fulmen_core), data_class(fulmen_core)
pytestmark = pytest.mark.filterwarnings("ignore:The checkpoint holds states of callbacks")

DONE = {
    "mid_epoch": (1, 7),
    "last_batch": (0, 5),
    "validation_end": (1, 7),
    "epoch_end": (1, 10),
    "after_fit": (2, 10),
    "manual_mid_epoch": (1, 7),
}
"""The epoch that ran when each file was written, and the batches of the whole fit that were done."""


def make_trainer(epochs: int, **arguments: Any) -> Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(max_epochs=epochs, enable_model_summary=False, **{**quiet, **arguments})


def resumed(name: str, *, epochs: int = 3, **arguments: Any) -> tuple[Any, Trainer, list[tuple[int, int]]]:
    """Go on from a file; also return (epoch, batch index) of every batch that was trained."""
    ran: list[tuple[int, int]] = []

    class Watched(Small):  # type: ignore[misc,valid-type]
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            ran.append((self.current_epoch, batch_idx))
            return super().training_step(batch, batch_idx)

    module = Watched(width=5, manual=name.startswith("manual"))
    trainer = make_trainer(epochs, **arguments)
    trainer.fit(module, SmallData(), ckpt_path=FILES / f"{name}.ckpt")
    return module, trainer, ran


@pytest.mark.parametrize("name", DONE)
def test_training_goes_on_with_the_next_batch_and_ends_as_if_torch_had_done_it_all(name: str) -> None:
    module, trainer, ran = resumed(name)
    _, batches = DONE[name]
    assert ran == [divmod(number, BATCHES) for number in range(batches, 3 * BATCHES)]
    manual = name.startswith("manual")
    truth = train_by_hand(Small(width=5), epochs=3, decay=not manual)
    for parameter, expected in zip(module.parameters(), truth, strict=True):
        torch.testing.assert_close(parameter.detach(), expected)
    assert trainer.current_epoch == 3
    assert trainer.global_step == 3 * BATCHES * (2 if manual else 1)
    assert trainer.logging_step == 3 * BATCHES
    assert trainer.datamodule.note == "from Lightning"


@pytest.mark.parametrize(
    ("name", "validations"),
    [("mid_epoch", 2), ("last_batch", 3), ("validation_end", 2), ("epoch_end", 1), ("after_fit", 1)],
)
def test_validation_that_was_still_to_come_comes(name: str, validations: int) -> None:
    began: list[int] = []

    module = Small(width=5)
    module.on_validation_start = lambda: began.append(module.global_step)
    make_trainer(3, num_sanity_val_steps=0).fit(module, SmallData(), ckpt_path=FILES / f"{name}.ckpt")
    assert began == [BATCHES * epoch for epoch in range(4 - validations, 4)]


@pytest.mark.parametrize(("name", "epoch"), [("mid_epoch", 1), ("epoch_end", 1), ("after_fit", 2)])
def test_hooks_see_the_counters_of_the_file(name: str, epoch: int) -> None:
    seen: list[tuple[int, int]] = []
    module = Small(width=5)
    module.on_train_start = lambda: seen.append((module.current_epoch, module.global_step))
    make_trainer(3).fit(module, SmallData(), ckpt_path=FILES / f"{name}.ckpt")
    assert seen == [(epoch, DONE[name][1])]


class WatchesValidation(Small):  # type: ignore[misc,valid-type]
    def configure_optimizers(self) -> Any:
        optimizer = sgd(self.parameters(), self.hparams.lr)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": "val_loss"}}


def test_a_scheduler_whose_metric_is_not_in_the_file_leaves_out_that_step(tmp_path: Path) -> None:
    """Lightning writes at an epoch's end before the scheduler steps, and without what it watches."""
    checkpoint = torch.load(FILES / "epoch_end.ckpt")
    checkpoint["lr_schedulers"] = [WatchesValidation().configure_optimizers()["lr_scheduler"]["scheduler"].state_dict()]
    torch.save(checkpoint, tmp_path / "plateau.ckpt")
    trainer = make_trainer(3)
    with pytest.warns(UserWarning, match="watches 'val_loss', which was not logged.*does not step"):
        trainer.fit(WatchesValidation(width=5), SmallData(), ckpt_path=tmp_path / "plateau.ckpt")
    (config,) = trainer.lr_scheduler_configs
    assert config.scheduler.last_epoch == 1
    assert config.scheduler.best == trainer.callback_metrics["val_loss"]


def test_states_of_callbacks_are_taken(tmp_path: Path) -> None:
    """The two ModelCheckpoints have the same name for their state; where the files lie has changed."""
    keeper = ModelCheckpoint(dirpath=tmp_path)
    with pytest.warns(UserWarning, match="Checkpoints go to"):
        make_trainer(3, callbacks=[keeper], enable_checkpointing=True).fit(
            Small(width=5), SmallData(), ckpt_path=FILES / "epoch_end.ckpt"
        )
    assert Path(keeper.best_model_path).name == "epoch=2-step=15.ckpt"


@pytest.mark.parametrize("name", [*DONE, "weights_only"])
def test_modules_are_made_again_with_their_hyper_parameters(name: str) -> None:
    module = Small.load_from_checkpoint(FILES / f"{name}.ckpt")
    assert dict(module.hparams) == {"width": 5, "lr": 0.1, "manual": name.startswith("manual")}
    weights = torch.load(FILES / f"{name}.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())
    assert Small.load_from_checkpoint(FILES / f"{name}.ckpt", lr=0.3).hparams.lr == 0.3


def test_data_modules_are_made_again() -> None:
    data = SmallData.load_from_checkpoint(FILES / "mid_epoch.ckpt")
    assert (data.hparams.folds, data.note) == (4, "from Lightning")


def test_weights_can_be_validated() -> None:
    module = Small(width=5)
    (result,) = make_trainer(1).validate(module, SmallData(), ckpt_path=FILES / "weights_only.ckpt", verbose=False)
    truth = Small.load_from_checkpoint(FILES / "weights_only.ckpt")
    (expected,) = make_trainer(1).validate(truth, SmallData(), verbose=False)
    assert result == expected


def test_going_on_from_weights_alone_is_refused() -> None:
    file = FILES / "weights_only.ckpt"
    with pytest.raises(CheckpointError, match="holds weights only") as raised:
        make_trainer(3).fit(Small(width=5), SmallData(), ckpt_path=file)
    assert raised.value.path == str(file)


def test_another_module_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"mid_epoch\.ckpt do not fit Small: .*size mismatch"):
        make_trainer(3).fit(Small(width=4), SmallData(), ckpt_path=FILES / "mid_epoch.ckpt")
