"""Functions as hooks."""

from __future__ import annotations

from typing import Any

import pytest

from fulmen_callbacks import LambdaCallback
from fulmen_interfaces import Callback, ConfigurationError, Hook


def test_functions_receive_what_the_hooks_receive(make_trainer: Any, module: Any) -> None:
    seen: list[Any] = []
    callback = LambdaCallback(
        setup=lambda trainer, module, stage: seen.append(stage),
        on_train_batch_end=lambda trainer, module, outputs, batch, batch_idx: seen.append(batch_idx),
        on_train_end=None,
    )
    callback.setup(make_trainer(), module, "fit")
    callback.on_train_batch_end(make_trainer(), module, None, None, 3)
    callback.on_train_end(make_trainer(), module)
    assert seen == ["fit", 3]


def test_hooks_not_given_are_not_overridden() -> None:
    callback = LambdaCallback(on_fit_start=lambda trainer, module: None)
    assert "on_fit_start" in vars(callback)
    assert "on_fit_end" not in vars(callback)
    assert type(callback).on_fit_end is Callback.on_fit_end


def test_every_hook_can_be_given() -> None:
    hooks = [hook.value for hook in Hook if hook.value in vars(Callback)]
    assert len(hooks) == 37
    LambdaCallback(**dict.fromkeys(hooks, print))


def test_a_hook_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'on_train_batch_end'"):
        LambdaCallback(on_train_batch_ends=print)
