"""What `fit`, `validate`, `test` and `predict` return."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernel_cases import Line, loader, trainer

from fulmen_core import CombinedLoader
from fulmen_interfaces import CheckpointError

pytestmark = pytest.mark.filterwarnings("ignore:.*nothing is validated")


class Evaluated(Line):
    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        self.log("plain", float(batch_idx))
        self.log("both", float(batch_idx), on_step=True, on_epoch=True)
        self.log("steps", 1.0, on_step=True, on_epoch=False)
        self.log("hidden", 1.0, logger=False)

    test_step = validation_step

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        return None if batch_idx == 1 else (dataloader_idx, batch_idx)


def test_fit_returns_nothing() -> None:
    assert trainer().fit(Line(), loader(1)) is None


@pytest.mark.parametrize("call", ["validate", "test"])
def test_an_evaluation_returns_plain_numbers_of_the_epoch(call: str) -> None:
    (result,) = getattr(trainer(), call)(Evaluated(), loader(2), verbose=False)
    assert result == {"plain": 0.5, "both_epoch": 0.5}
    assert all(type(value) is float for value in result.values())


@pytest.mark.parametrize("call", ["validate", "test"])
def test_an_evaluation_that_logs_nothing_returns_an_empty_result_per_loader(call: str) -> None:
    class Silent(Line):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            pass

        test_step = validation_step

    ready = trainer()
    assert getattr(ready, call)(Silent(), loader(1), verbose=False) == [{}]
    assert getattr(ready, call)(Silent(), [loader(1), loader(1)], verbose=False) == [{}, {}]
    assert getattr(ready, call)(Silent(), [], verbose=False) == []


def test_prediction_of_one_loader_is_a_flat_list() -> None:
    for loaders in (loader(3), [loader(3)]):
        assert trainer().predict(Evaluated(), loaders) == [(0, 0), None, (0, 2)]


@pytest.mark.parametrize(
    "loaders",
    [
        [loader(3), loader(1)],
        {"a": loader(3), "b": loader(1)},
        CombinedLoader([loader(3), loader(1)], "sequential"),
    ],
    ids=["list", "dict", "combined"],
)
def test_prediction_of_several_loaders_is_a_list_for_each(loaders: Any) -> None:
    assert trainer().predict(Evaluated(), loaders) == [[(0, 0), None, (0, 2)], [(1, 0)]]


def test_a_loader_without_batches_has_an_empty_list() -> None:
    assert trainer().predict(Evaluated(), [[], loader(1)]) == [[], [(1, 0)]]


def test_prediction_may_keep_nothing() -> None:
    class Counting(Line):
        calls = 0

        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            self.calls += 1
            return batch

    module = Counting()
    assert trainer().predict(module, loader(3), return_predictions=False) is None
    assert module.calls == 3


def test_prediction_calls_forward_where_there_is_no_step() -> None:
    class Plain(Line):
        def forward(self, batch: Any) -> Any:
            return self.layer(batch[0])

    module = Plain().eval()
    predictions = trainer().predict(module, loader(2))
    assert all(torch.equal(mine, module(batch)) for mine, batch in zip(predictions, loader(2), strict=True))


def test_the_model_of_the_last_run_is_taken_where_none_is_given() -> None:
    ready = trainer()
    module = Evaluated()
    ready.fit(module, loader(1))
    (result,) = ready.validate(dataloaders=loader(2), verbose=False)
    assert result["plain"] == 0.5
    assert ready.predict(dataloaders=loader(1)) == [(0, 0)]
    assert ready.lightning_module is module


@pytest.mark.parametrize("word", ["best", "last"])
def test_words_for_checkpoints_need_a_callback_that_keeps_them(word: str) -> None:
    ready = trainer()
    ready.fit(Evaluated(), loader(1))
    with pytest.raises(CheckpointError, match=rf'ckpt_path="{word}".*no callback writes checkpoints'):
        ready.validate(dataloaders=loader(1), ckpt_path=word)


def test_last_begins_anew_where_there_is_none() -> None:
    with pytest.warns(UserWarning, match="there is no last checkpoint"):
        trainer().fit(Line(), loader(1), ckpt_path="last")


@pytest.mark.parametrize("word", ["hpc", "registry", "registry:team/model:version:3"])
def test_words_that_stand_for_nothing_here_are_refused(word: str) -> None:
    with pytest.raises(CheckpointError, match=r'stands for nothing here.*Give "best", "last" or a path'):
        trainer().fit(Line(), loader(1), ckpt_path=word)


def test_a_fit_after_other_runs_and_runs_after_a_fit(tmp_path: Any) -> None:
    ready, module = trainer(max_epochs=2), Evaluated()
    before = ready.validate(module, loader(2), verbose=False)
    ready.fit(module, loader(2), loader(2))
    assert (ready.global_step, ready.current_epoch) == (4, 2)
    after = ready.validate(module, loader(2), verbose=False)
    assert before == after == [{"plain": 0.5, "both_epoch": 0.5}]
    assert (ready.global_step, ready.current_epoch) == (4, 2)
    ready.save_checkpoint(tmp_path / "after.ckpt")
    assert torch.load(tmp_path / "after.ckpt", weights_only=True)["global_step"] == 4
