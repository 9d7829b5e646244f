"""Where the learning rate that was found is written."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from tuner_cases import Data, Line, find, seeded

from fulmen_interfaces import ConfigurationError


class Renamed(Line):
    def __init__(self, lr=0.1):
        super().__init__(lr)
        del self.lr
        self.hparams.pop("lr")

    def configure_optimizers(self):
        return torch.optim.SGD(self.net.parameters(), lr=0.1)


def test_learning_rate_is_the_second_name():
    model = seeded(Renamed)
    model.learning_rate = 0.1
    curve = find(model, min_lr=1e-4)
    assert model.learning_rate == curve.suggestion() != 0.1


@pytest.mark.parametrize("name", ["optim.rate", "hparams.rate", "settings.rate"])
def test_dots_lead_into_objects_and_items(name):
    model = seeded(Renamed)
    model.optim = SimpleNamespace(rate=0.1)
    model.hparams["rate"] = 0.1
    model.settings = {"rate": 0.1}
    found = find(model, min_lr=1e-4, attr_name=name).suggestion()
    values = {
        "optim.rate": model.optim.rate,
        "hparams.rate": model.hparams.rate,
        "settings.rate": model.settings["rate"],
    }
    assert values.pop(name) == found
    assert set(values.values()) == {0.1}


def test_the_data_module_may_hold_it_too():
    model, data = seeded(), Data()
    data.lr = 0.1
    curve = find(model, data, min_lr=1e-4)
    assert data.lr == model.lr == curve.suggestion()


def test_a_property_without_a_setter_is_no_place():
    class Reading(Renamed):
        @property
        def lr(self):
            return self.hparams["lr"]

        @lr.deleter
        def lr(self):
            pass

    model = seeded(Line)
    model.__class__ = Reading
    model.__dict__.pop("lr", None)
    curve = find(model, min_lr=1e-4)
    assert model.hparams.lr == curve.suggestion()


def test_a_missing_attribute_is_told_before_anything_runs():
    model = seeded(Renamed)
    model.step_size = 0.1
    with pytest.raises(ConfigurationError, match="no `lr` or `learning_rate`") as caught:
        find(model)
    assert "`step_size`" in caught.value.problems[0].remedy
    with pytest.raises(ConfigurationError, match=r"no `optim\.eta`"):
        find(model, attr_name="optim.eta")


def test_without_a_suggestion_nothing_is_written():
    model = seeded()
    with pytest.warns(UserWarning, match="No learning rate is suggested"):
        find(model, num_training=5)
    assert model.lr == model.hparams.lr == 0.01
