"""Settings and plan together: every problem of both in one error."""

from __future__ import annotations

import pytest

from fulmen_core.settings import configure
from fulmen_interfaces import Catalogue, ConfigurationError
from fulmen_testing import FAKE_ACCELERATOR_SPEC, FAKE_STRATEGY_SPEC, FakePrecision, fake_catalogue


def test_right_arguments_lead_to_settings_and_plan():
    settings, plan = configure({"max_epochs": 3, "devices": 1}, fake_catalogue())
    assert settings.max_epochs == 3
    assert plan.accelerator_spec is FAKE_ACCELERATOR_SPEC
    assert plan.strategy_spec is FAKE_STRATEGY_SPEC


def test_plugins_take_part_in_the_plan():
    precision = FakePrecision()
    _, plan = configure({"plugins": [precision]}, fake_catalogue())
    assert plan.make_precision() is precision


def test_problems_of_both_are_told_at_once():
    arguments = {"max_epochs": "x", "gpus": 1, "strategy": "dpd", "devices": "two", "logger": "cvs", "profiler": "fast"}
    with pytest.raises(ConfigurationError) as caught:
        configure(arguments, fake_catalogue())
    found = {problem.argument for problem in caught.value.problems}
    assert found == {"max_epochs", "gpus", "strategy", "devices", "logger", "profiler"}
    assert caught.value.suggestions


def test_nothing_installed_is_told_beside_a_typo():
    with pytest.raises(ConfigurationError) as caught:
        configure({"max_epoch": 3}, Catalogue())
    text = str(caught.value)
    assert "Did you mean max_epochs?" in text
    assert "pip install fulmen-accelerator-cpu" in text


def test_devices_from_the_environment_reach_the_resolver(monkeypatch):
    monkeypatch.setenv("FULMEN_TRAINER_DEVICES", "nonsense")
    with pytest.raises(ConfigurationError) as caught:
        configure({}, fake_catalogue())
    assert [problem.argument for problem in caught.value.problems] == ["FULMEN_TRAINER_DEVICES"]
