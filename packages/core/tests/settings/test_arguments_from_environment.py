"""Arguments from FULMEN_TRAINER_... variables."""

from __future__ import annotations

import pytest

from fulmen_core.settings import check_settings
from fulmen_interfaces import ConfigurationError


@pytest.mark.parametrize(
    ("variable", "text", "argument", "expected"),
    [
        ("MAX_EPOCHS", "3", "max_epochs", 3),
        ("MAX_EPOCHS", "None", "max_epochs", None),
        ("LIMIT_TRAIN_BATCHES", "0.5", "limit_train_batches", 0.5),
        ("LIMIT_TRAIN_BATCHES", "1", "limit_train_batches", 1),
        ("ENABLE_PROGRESS_BAR", "false", "enable_progress_bar", False),
        ("ACCELERATOR", "cpu", "accelerator", "cpu"),
        ("DEVICES", "[0, 2]", "devices", [0, 2]),
        ("DEVICES", "2", "devices", 2),
        ("PRECISION", "bf16-mixed", "precision", "bf16-mixed"),
        ("DETERMINISTIC", "warn", "deterministic", "warn"),
        ("DEFAULT_ROOT_DIR", "/runs", "default_root_dir", "/runs"),
    ],
)
def test_variables_stand_for_arguments_that_were_not_given(monkeypatch, variable, text, argument, expected):
    monkeypatch.setenv(f"FULMEN_TRAINER_{variable}", text)
    taken = getattr(check_settings(), argument)
    assert taken == expected
    assert type(taken) is type(expected)


def test_what_the_program_says_wins(monkeypatch):
    monkeypatch.setenv("FULMEN_TRAINER_MAX_EPOCHS", "3")
    assert check_settings(max_epochs=7).max_epochs == 7
    assert check_settings(max_epochs=None).max_epochs is None


def test_a_wrong_value_is_told_with_its_variable(monkeypatch):
    monkeypatch.setenv("FULMEN_TRAINER_MAX_EPOCHS", "many")
    with pytest.raises(ConfigurationError) as caught:
        check_settings()
    (problem,) = caught.value.problems
    assert (problem.argument, problem.remedy) == (
        "FULMEN_TRAINER_MAX_EPOCHS",
        "For example FULMEN_TRAINER_MAX_EPOCHS=10.",
    )


def test_a_misspelt_variable_is_no_silent_nothing(monkeypatch):
    monkeypatch.setenv("FULMEN_TRAINER_MAX_EPOCH", "3")
    with pytest.raises(ConfigurationError, match="Did you mean FULMEN_TRAINER_MAX_EPOCHS"):
        check_settings()
