from __future__ import annotations

import inspect
import re

import pytest

import fulmen_interfaces
from fulmen_interfaces import Callback, Hook

MODULE_ALONE = {
    *{"training_step", "validation_step", "test_step", "predict_step"},
    *{"optimizer_zero_grad", "backward", "configure_gradient_clipping", "optimizer_step", "lr_scheduler_step"},
    *{"on_validation_model_zero_grad", "on_validation_model_eval", "on_validation_model_train"},
    *{"on_test_model_eval", "on_test_model_train", "on_predict_model_eval"},
    *{"configure_callbacks", "configure_model", "configure_optimizers"},
    *{"prepare_data", "train_dataloader", "val_dataloader", "test_dataloader", "predict_dataloader"},
    *{"on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"},
}
"""Hooks of modules and data modules that callbacks do not have, as users of Lightning know them."""

NO_HOOKS = {"state_dict", "load_state_dict", "log", "log_dict", "log_through"}
CALLBACK_HOOKS = sorted({hook.value for hook in Hook} - MODULE_ALONE)


def test_callbacks_have_exactly_the_hooks_that_are_not_the_modules_own() -> None:
    methods = {name for name, _ in inspect.getmembers(Callback, inspect.isfunction) if not name.startswith("_")}
    assert methods - NO_HOOKS == set(CALLBACK_HOOKS)
    assert {hook.value for hook in Hook} >= MODULE_ALONE


@pytest.mark.parametrize("name", CALLBACK_HOOKS)
def test_hooks_of_a_plain_callback_do_nothing(name: str) -> None:
    hook = getattr(Callback(), name)
    parameters = inspect.signature(hook).parameters
    assert list(parameters)[:2] == ["trainer", "pl_module"]
    arguments = [object() for parameter in parameters.values() if parameter.default is parameter.empty]
    assert hook(*arguments) is None


def test_a_plain_callback_has_no_state() -> None:
    class Own(Callback):
        pass

    assert Own().state_dict() == {}
    assert Own().state_key.endswith("Own")


def test_members_are_named_like_their_methods() -> None:
    assert all(hook.name == hook.value.upper() and str(hook) == hook.value for hook in Hook)


def test_every_hook_of_fit_and_validation_stands_in_the_drawing() -> None:
    drawing = inspect.getmodule(Hook).__doc__ or ""
    words = set(re.findall(r"\w+", drawing))
    missing = {hook.value for hook in Hook} - words
    assert {name for name in missing if not re.search("test|predict", name)} == set()


def test_stages_and_hooks_are_plain_words() -> None:
    for enum in ("Stage", "RunningStage", "RunStatus", "DType"):
        for member in getattr(fulmen_interfaces, enum):
            assert f"{member}" == member.value
