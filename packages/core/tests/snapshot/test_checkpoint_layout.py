"""What a checkpoint holds, key by key. This is the documentation of the file's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_cases import Deep, loader, trainer

from fulmen_core import LightningDataModule
from fulmen_interfaces import Callback

LIGHTNING_KEYS = [
    "epoch",
    "global_step",
    "pytorch-lightning_version",
    "state_dict",
    "loops",
    "callbacks",
    "optimizer_states",
    "lr_schedulers",
]
OWN_KEY = "fulmen"
HYPER_PARAMETERS = ["hparams_name", "hyper_parameters", "datamodule_hparams_name", "datamodule_hyper_parameters"]


class Module(Deep):
    """Has all that a checkpoint can hold."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.save_hyperparameters()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["of the module"] = 1


class Data(LightningDataModule):
    def __init__(self, folds: int = 2) -> None:
        super().__init__()
        self.save_hyperparameters()

    def train_dataloader(self) -> Any:
        return loader(5, shuffle=True)

    def val_dataloader(self) -> Any:
        return loader(2)

    def state_dict(self) -> dict[str, Any]:
        return {"fold": 1}


class Counts(Callback):
    def state_dict(self) -> dict[str, Any]:
        return {"count": 7}

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["of the callback"] = 2


class Silent(Callback):
    """Has no state, and therefore no place in a checkpoint."""


class SavesAt(Callback):
    """Saves in the middle of the second epoch, with and without states."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (trainer.current_epoch, batch_idx) == (1, 2):
            trainer.save_checkpoint(self.folder / "whole.ckpt")
            trainer.save_checkpoint(self.folder / "weights.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a whole checkpoint, and one without states, as they are read back in the safe way."""
    folder = tmp_path_factory.mktemp("saved")
    callbacks = [Counts(), Silent(), SavesAt(folder)]
    settings = {"accumulate_grad_batches": 2, "max_epochs": 2, "callbacks": callbacks}
    trainer(**settings).fit(Module(), datamodule=Data())
    whole, weights = (torch.load(folder / f"{name}.ckpt", weights_only=True) for name in ("whole", "weights"))
    return whole, weights


def test_keys_come_in_lightnings_order_with_one_of_our_own(saved: Any) -> None:
    whole, _ = saved
    assert list(whole) == [*LIGHTNING_KEYS, OWN_KEY, *HYPER_PARAMETERS, "Data", "of the callback", "of the module"]


def test_without_states_there_is_what_inference_needs(saved: Any) -> None:
    _, weights = saved
    assert list(weights) == [*LIGHTNING_KEYS[:5], *HYPER_PARAMETERS, "Data", "of the module"]


def test_values_of_the_keys(saved: Any) -> None:
    whole, _ = saved
    assert (whole["epoch"], whole["global_step"]) == (1, 4)  # three steps in epoch 0, one after two batches of epoch 1
    assert whole["pytorch-lightning_version"] == "2.6.6"
    assert set(whole["state_dict"]) == set(Module().state_dict())
    assert whole["callbacks"] == {"Counts": {"count": 7}}
    assert [set(state) for state in whole["optimizer_states"]] == [{"state", "param_groups"}]
    assert [state["last_epoch"] for state in whole["lr_schedulers"]] == [1]
    assert whole["hyper_parameters"] == {"width": 3}
    assert whole["datamodule_hyper_parameters"] == {"folds": 2}
    assert whole["Data"] == {"fold": 1}


def test_the_loops_hold_lightnings_counters(saved: Any) -> None:
    whole, _ = saved
    assert list(whole["loops"]) == ["fit_loop", "validate_loop", "test_loop", "predict_loop"]
    fit = whole["loops"]["fit_loop"]
    assert list(fit) == [
        "state_dict",
        "epoch_loop.state_dict",
        "epoch_loop.batch_progress",
        "epoch_loop.scheduler_progress",
        "epoch_loop.automatic_optimization.state_dict",
        "epoch_loop.automatic_optimization.optim_progress",
        "epoch_loop.manual_optimization.state_dict",
        "epoch_loop.manual_optimization.optim_step_progress",
        "epoch_loop.val_loop.state_dict",
        "epoch_loop.val_loop.batch_progress",
        "epoch_progress",
    ]
    assert fit["epoch_loop.batch_progress"] == {
        "total": {"ready": 8, "completed": 7, "started": 8, "processed": 8},
        "current": {"ready": 3, "completed": 2, "started": 3, "processed": 3},
        "is_last_batch": False,
    }
    epochs = {"ready": 2, "completed": 1, "started": 2, "processed": 1}
    assert fit["epoch_progress"] == {"total": epochs, "current": epochs}


def test_our_own_key_holds_everything_else_that_decides_the_next_step(saved: Any) -> None:
    own = saved[0][OWN_KEY]
    assert list(own) == [
        *("format", "progress", "should_stop", "window", "read_per_step", "results"),
        *("gradients_are_reduced", "switches", "ranks"),
    ]
    assert own["gradients_are_reduced"] is False
    assert own["format"] == 1
    assert own["progress"] == {
        "epoch": 1,
        "epochs": {"ready": 2, "started": 2, "processed": 1, "completed": 1},
        "batches": {"ready": 3, "started": 3, "processed": 3, "completed": 2},
        "batches_before": 5,
        "global_step": 4,
        "stepped_batches": 4,
        "scheduler_steps": 1,
        "window_filled": 1,
        "validation_batches": [2],
        "is_last_batch": False,
        "skip_epoch": False,
        "phase": "batch_ended",
    }
    assert own["window"] == {"divisor": 2}
    assert list(own["results"]) == ["callback", "logged", "progress", "unsent"]
    (rank,) = own["ranks"]
    assert list(rank) == ["data", "validation", "records", "metrics", "buffers", "gradients"]
    assert set(rank["gradients"]) == {name for name, _ in Module().named_parameters()}  # the window is open
    assert set(rank["data"]["random"]) >= {"python", "numpy", "torch"}
    assert (rank["data"]["epoch"], rank["data"]["batches_read"]) == (1, 3)
    assert [record["options"]["name"] for record in rank["records"]] == ["loss"]
