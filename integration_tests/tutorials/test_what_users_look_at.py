"""What programs read from the Trainer, and what they put into it."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L
from fulmen.callbacks import Callback


def trainer(**arguments):
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return L.Trainer(**{"max_epochs": 1, "accelerator": "cpu", **quiet, **arguments})


def loader():
    x = torch.linspace(-1, 1, 32).reshape(16, 2)
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=4)


class Line(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, x):
        return self.layer(x)

    def training_step(self, batch, batch_idx):
        if isinstance(batch, dict):
            batch = batch["a"]
        return torch.nn.functional.mse_loss(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.log("val_loss", torch.nn.functional.mse_loss(self(batch[0]), batch[1]))

    def test_step(self, batch, batch_idx):
        pass

    def predict_step(self, batch, batch_idx):
        return self(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_loaders_are_shown_as_they_were_given() -> None:
    run, train, val = trainer(), loader(), loader()
    run.fit(Line(), train, val)
    assert run.train_dataloader is train
    assert run.val_dataloaders is val
    run.test(Line(), val, verbose=False)
    assert run.test_dataloaders is val
    run.predict(Line(), val)
    assert run.predict_dataloaders is val


def test_collections_of_loaders_are_shown_as_they_were_given() -> None:
    run, train, val = trainer(), {"a": loader(), "b": loader()}, [loader(), loader()]
    run.fit(Line(), train, val)
    assert run.train_dataloader is train
    assert run.val_dataloaders is val
    assert (run.num_training_batches, run.num_val_batches) == (4, [4, 4])


class Looking(Callback):
    def __init__(self) -> None:
        self.seen: dict[str, tuple[bool, ...]] = {}

    def look(self, hook: str, trainer) -> None:
        self.seen[hook] = (trainer.training, trainer.validating, trainer.sanity_checking, trainer.testing)

    def setup(self, trainer, pl_module, stage):
        self.look(f"setup {stage}", trainer)

    def on_sanity_check_start(self, trainer, pl_module):
        self.look("sanity start", trainer)

    def on_sanity_check_end(self, trainer, pl_module):
        self.look("sanity end", trainer)

    def on_train_start(self, trainer, pl_module):
        self.look("train", trainer)

    def on_validation_start(self, trainer, pl_module):
        self.look("validation", trainer)

    def on_fit_end(self, trainer, pl_module):
        self.look("fit end", trainer)


def test_the_stage_is_known_from_setup_on() -> None:
    looking = Looking()
    run = trainer(callbacks=[looking])
    run.fit(Line(), loader(), loader())
    run.test(Line(), loader(), verbose=False)
    training, sanity = (True, False, False, False), (False, False, True, False)
    assert looking.seen == {
        "setup fit": training,
        "sanity start": sanity,
        "sanity end": sanity,
        "train": training,
        "validation": (False, True, False, False),
        "fit end": training,
        "setup test": (False, False, False, True),
    }
    assert not run.training


def test_callbacks_can_be_added_before_the_first_run_and_replaced_after() -> None:
    first, second = Looking(), Looking()
    run = trainer()
    run.callbacks.append(first)
    run.fit(Line(), loader(), loader())
    assert "train" in first.seen
    first.seen.clear()
    run.callbacks = [second]
    run.fit(Line(), loader(), loader())
    assert first.seen == {}
    assert "train" in second.seen


def test_arguments_can_be_read_as_they_count() -> None:
    run = trainer(limit_train_batches=3, limit_val_batches=0.5, gradient_clip_val=1.5)
    assert (run.limit_train_batches, run.limit_val_batches, run.limit_test_batches) == (3, 0.5, 1.0)
    assert (run.gradient_clip_val, run.gradient_clip_algorithm) == (1.5, "norm")
    assert (run.overfit_batches, run.num_sanity_val_steps, run.barebones) == (0, 2, False)
    assert trainer().gradient_clip_val is None
    with pytest.raises(AttributeError):
        run.limit_train_batches = 5  # too late: nothing would be left of it


def test_optimizers_and_schedulers_can_be_looked_at_after_a_fit() -> None:
    run, model = trainer(), Line()
    run.fit(model, loader())
    assert [type(one) for one in run.optimizers] == [torch.optim.SGD]
    assert run.lr_scheduler_configs == []
    assert run.lightning_module is model
    assert (model.current_epoch, model.global_step, model.trainer) == (1, 4, run)
