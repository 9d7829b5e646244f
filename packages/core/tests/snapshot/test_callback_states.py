"""What callbacks get of a checkpoint, in a fit that goes on from it and in evaluations of it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kernel_cases import Line, loader, trainer

from fulmen_interfaces import Callback, CallbackOrder


class Counting(Callback):
    """Counts training batches over all runs, and notes what it is told of checkpoints."""

    def __init__(self) -> None:
        self.count = 0
        self.told: list[str] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.count += 1

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.count = state_dict["count"]
        self.told.append("state")

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        assert checkpoint["callbacks"][self.state_key] == {"count": 2}
        self.told.append("checkpoint")


class Watching(Counting):
    order: ClassVar[CallbackOrder] = CallbackOrder.MONITOR


class Whole(Line):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log nothing."""

    test_step = validation_step

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self(batch[0])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A checkpoint that was written behind two batches."""
    ready, path = trainer(callbacks=[Counting(), Watching()]), tmp_path / "two.ckpt"
    ready.fit(Whole(), loader(2), loader(1))
    ready.save_checkpoint(path)
    return path


@pytest.mark.parametrize("call", ["validate", "test", "predict"])
def test_an_evaluation_gives_callbacks_their_states_but_those_that_watch_a_fit(file: Path, call: str) -> None:
    counting, watching = Counting(), Watching()
    getattr(trainer(callbacks=[counting, watching]), call)(Whole(), loader(1), ckpt_path=file)
    assert (counting.count, counting.told) == (2, ["checkpoint", "state"])
    assert (watching.count, watching.told) == (0, ["checkpoint"])


def test_a_fit_that_goes_on_gives_all_of_them_their_states(file: Path) -> None:
    counting, watching = Counting(), Watching()
    trainer(max_epochs=2, callbacks=[counting, watching]).fit(Whole(), loader(2), loader(1), ckpt_path=file)
    assert counting.told == watching.told == ["checkpoint", "state"]
    assert counting.count == watching.count == 4


def test_states_without_a_callback_are_a_loss_for_a_fit_only(file: Path) -> None:
    with pytest.warns(UserWarning, match=r"states of callbacks that this run does not have: Counting, Watching"):
        trainer(max_epochs=2).fit(Whole(), loader(2), loader(1), ckpt_path=file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer().validate(Whole(), loader(1), ckpt_path=file, verbose=False)
