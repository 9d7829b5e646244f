"""Runs that end in an error: what is raised, who is told, and what stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_cases import Line, loader, trainer

from fulmen_interfaces import Callback


def test_the_user_s_own_error_comes_out_as_it_is() -> None:
    class Own(Exception):
        pass

    raised = Own("mine")

    class Broken(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise raised

    fitted = trainer()
    with pytest.raises(Own) as error:
        fitted.fit(Broken(), loader(1))
    assert error.value is raised
    assert error.value.__cause__ is None
    assert (fitted.interrupted, fitted.state.status.value) == (True, "failed")
    fitted.fit(Line(), loader(1))
    assert (fitted.interrupted, fitted.state.status.value) == (False, "finished")


@pytest.mark.parametrize("hook", ["setup", "on_fit_start", "train_dataloader", "configure_optimizers", "on_train_end"])
def test_an_error_anywhere_is_told_to_callbacks_and_everything_is_torn_down(hook: str) -> None:
    told: list[str] = []

    class Told(Callback):
        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            told.append(f"exception {exception}")

        def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
            told.append(f"teardown {stage}")

    def fail(self: Any, *args: Any) -> Any:
        raise RuntimeError(hook)

    failing = type("Failing", (Line,), {hook: fail})()
    with pytest.raises(RuntimeError, match=hook):
        trainer(callbacks=[Told()]).fit(failing, None if hook == "train_dataloader" else loader(1))
    assert told == [f"exception {hook}", "teardown fit"]


def test_errors_while_ending_do_not_hide_the_first_and_all_are_told() -> None:
    called: list[str] = []

    class Bad(Callback):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            called.append(f"exception {self.name}")
            raise ValueError(f"exception {self.name}")

        def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
            called.append(f"teardown {self.name}")
            raise ValueError(f"teardown {self.name}")

    class Broken(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise RuntimeError("the first")

    ready = trainer(callbacks=[Bad("a"), Bad("b")])
    with pytest.warns(UserWarning, match="Another error") as warned, pytest.raises(RuntimeError, match="the first"):
        ready.fit(Broken(), loader(1))
    assert called == ["exception a", "exception b", "teardown a", "teardown b"]
    assert len([one for one in warned if "Another error came" in str(one.message)]) == 4


def test_an_error_in_teardown_alone_is_raised() -> None:
    class Bad(Callback):
        def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
            raise ValueError("teardown")

    with pytest.raises(ValueError, match="teardown"):
        trainer(callbacks=[Bad()]).fit(Line(), loader(1))


def test_what_was_saved_before_an_error_stays(tmp_path: Path) -> None:
    class Saving(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            trainer.save_checkpoint(str(tmp_path / f"{batch_idx}.ckpt"))

    class Late(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 2:
                raise RuntimeError("late")
            return self.loss(batch)

    module = Late()
    with pytest.raises(RuntimeError, match="late"):
        trainer(callbacks=[Saving()]).fit(module, loader(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.ckpt", "1.ckpt"]
    saved = torch.load(tmp_path / "1.ckpt", weights_only=True)
    assert saved["global_step"] == 2
    assert torch.equal(saved["state_dict"]["layer.weight"], module.layer.weight)
