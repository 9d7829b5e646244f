"""Trainers made from others, and whose turn it is before a run."""

from __future__ import annotations

import pytest
import torch
from kernel_cases import Line, loader, trainer

from fulmen_core import LightningDataModule
from fulmen_core.trainer import _tuning
from fulmen_interfaces import TUNERS, Callback, Catalogue, ConfigurationError, TunerSpec, UnknownPlugin


class Trying(Callback):
    """Remembers when it had its turn."""

    def __init__(self):
        self.turns = []

    def tune(self, trainer, pl_module, stage, data):
        self.turns.append((stage, data))
        assert trainer.lightning_module is None
        pl_module.lr = 0.25


class FakeTuner:
    def __init__(self, trainer):
        self.trainer = trainer
        self.calls = []

    def lr_find(self, model, **options):
        return ("lr_find", options)

    def scale_batch_size(self, model, **options):
        return ("scale_batch_size", options)


class Data(LightningDataModule):
    def train_dataloader(self):
        return loader()


@pytest.fixture
def catalogue(monkeypatch):
    made = Catalogue()
    monkeypatch.setattr(_tuning, "default_catalogue", lambda: made)
    return made


def test_a_derived_trainer_differs_in_what_was_changed_only(monkeypatch):
    monkeypatch.setenv("FULMEN_TRAINER_ACCUMULATE_GRAD_BATCHES", "3")
    first = trainer(max_epochs=7, gradient_clip_val=0.5, precision="64-true", callbacks=[Trying()])
    monkeypatch.delenv("FULMEN_TRAINER_ACCUMULATE_GRAD_BATCHES")
    second = first.derived(max_epochs=2, callbacks=[])
    assert (first.max_epochs, second.max_epochs) == (7, 2)
    assert second.callbacks == []
    assert second.accumulate_grad_batches == 3
    assert second.settings.gradient_clip_val == 0.5
    assert second.precision == "64-true"
    assert second.derived(max_epochs=7, callbacks=first.settings.callbacks).settings == first.settings


def test_changes_are_checked():
    with pytest.raises(ConfigurationError, match="max_epochs"):
        trainer().derived(max_epochs="many")


def test_running_a_derived_trainer_leaves_the_first_alone():
    first = trainer(max_epochs=1)
    first.derived(max_epochs=3).fit(Line(), loader())
    assert (first.global_step, first.lightning_module) == (0, None)


def test_a_callback_that_tries_things_out_has_its_turn_before_optimizers_are_made():
    trying, data = Trying(), loader()
    runner = trainer(callbacks=[trying])
    runner.fit(Line(), data)
    assert trying.turns == [("fit", {"train_dataloaders": data, "datamodule": None})]
    assert runner.optimizers[0].param_groups[0]["lr"] == 0.25


def test_it_is_given_data_as_the_trainers_methods_take_it():
    class Both(Line):
        def test_step(self, batch, batch_idx):
            pass

    trying, data, given = Trying(), Data(), loader()
    trainer(callbacks=[trying]).fit(Line(), data)
    trainer(callbacks=[trying]).test(Both(), given)
    assert trying.turns == [
        ("fit", {"datamodule": data}),
        ("test", {"dataloaders": given, "datamodule": None}),
    ]


def test_it_has_no_turn_where_a_fit_goes_on_from_a_checkpoint(tmp_path):
    first = trainer()
    first.fit(Line(), loader())
    first.save_checkpoint(tmp_path / "a.ckpt")
    trying = Trying()
    trainer(callbacks=[trying], max_epochs=2).fit(Line(), loader(), ckpt_path=tmp_path / "a.ckpt")
    assert trying.turns == []


def test_the_tuner_is_found_by_its_role(catalogue):
    catalogue.register(TUNERS, TunerSpec(name="default", create=FakeTuner))
    runner = trainer()
    assert isinstance(runner.tuner, FakeTuner)
    assert runner.tuner.trainer is runner


def test_tune_asks_it_for_what_the_arguments_say(catalogue):
    catalogue.register(TUNERS, TunerSpec(name="default", create=FakeTuner))
    data = {"train_dataloaders": None, "val_dataloaders": None, "datamodule": None}
    assert trainer().tune(Line()) == {}
    asked = trainer(auto_lr_find="rate", auto_scale_batch_size=True)
    assert asked.tune(Line(), lr_find_kwargs={"max_lr": 0.5}) == {
        "scale_batch_size": ("scale_batch_size", {**data, "mode": "power"}),
        "lr_find": ("lr_find", {**data, "attr_name": "rate", "max_lr": 0.5}),
    }


def test_without_a_tuner_it_says_what_to_install(catalogue):
    with pytest.raises(UnknownPlugin, match="pip install fulmen-tuner"):
        _ = trainer().tuner
    model = Line()
    trainer(auto_lr_find=True).fit(model, loader())  # as in earlier versions, `fit` does not search
    assert torch.isfinite(model.layer.weight).all()


@pytest.mark.parametrize(("argument", "value"), [("auto_lr_find", 3), ("auto_scale_batch_size", "linear")])
def test_wrong_values_are_told(argument, value):
    with pytest.raises(ConfigurationError, match=argument):
        trainer(**{argument: value})
