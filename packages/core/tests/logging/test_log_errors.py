"""What `self.log` refuses, and what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from kernel_cases import Line, loader, rounded, trainer

from fulmen_interfaces import LoggingError, ModuleError


class Once(Line):
    """Does what the test wants in a validation step."""

    def __init__(self, act: Any) -> None:
        super().__init__()
        self.act = act

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.act(self)


def validate(act: Any, batches: int = 1) -> dict[str, float]:
    (result,) = trainer().validate(Once(act), loader(batches), verbose=False)
    return rounded(result)


@pytest.mark.parametrize(
    "value", ["text", "1.5", b"1.5", None, [1.0], (1.0,), {"a": 1.0}, object(), 1j], ids=lambda value: repr(value)[:10]
)
def test_what_is_no_number_is_refused_by_its_type(value: Any) -> None:
    with pytest.raises(LoggingError, match=f"a {type(value).__name__} cannot be logged"):
        validate(lambda self: self.log("x", value))


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("value", [torch.ones(2), torch.ones(0), torch.ones(1, 2)])
def test_tensors_with_more_or_less_than_one_element_are_refused_by_their_shape(value: Any, graph: bool) -> None:
    with pytest.raises(LoggingError, match=r"a tensor of shape .*Log `.mean\(\)`"):
        validate(lambda self: self.log("x", value, enable_graph=graph))


@pytest.mark.parametrize(
    "value", [np.float64(1.5), np.float32(1.5), np.array(1.5), torch.nn.Parameter(torch.tensor([1.5]))]
)
def test_numbers_of_other_libraries_are_numbers(value: Any) -> None:
    assert validate(lambda self: self.log("x", value)) == {"x": 1.5}


def test_a_value_may_keep_its_graph() -> None:
    class Graph(Line):
        kept = False

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch)
            self.log("x", loss.reshape(1), on_step=True, on_epoch=True, enable_graph=True)
            self.kept = self.trainer.callback_metrics["x"].grad_fn is not None
            return loss

    module = Graph()
    fitted = trainer()
    fitted.fit(module, loader(2))
    assert module.kept
    assert fitted.callback_metrics["x_epoch"].grad_fn is None


def test_recording_nothing_is_refused() -> None:
    with pytest.raises(LoggingError, match="would record nothing"):
        validate(lambda self: self.log("x", 1.0, on_step=False, on_epoch=False))


@pytest.mark.parametrize(("word", "near"), [("average", ""), ("men", "Did you mean 'mean'"), ("summ", "'sum'")])
def test_unknown_reductions_are_refused_with_those_that_exist(word: str, near: str) -> None:
    with pytest.raises(LoggingError, match=rf"no such reduction.*{near}.*'mean', 'sum', 'min', 'max'"):
        validate(lambda self: self.log("x", 1.0, reduce_fx=word))


def test_the_trainer_s_own_suffix_is_refused() -> None:
    with pytest.raises(LoggingError, match=r"added by the Trainer itself\. Write `self\.log\('x', "):
        validate(lambda self: self.log("x/dataloader_idx_0", 1.0))


@pytest.mark.parametrize(
    ("other", "change"),
    [
        ({"prog_bar": True}, "prog_bar=False, then prog_bar=True"),
        ({"reduce_fx": "sum"}, "reduce_fx='mean', then reduce_fx='sum'"),
        ({"on_step": True}, "on_step=False, then on_step=True"),
        ({"logger": False, "sync_dist": True}, "logger=True, then logger=False; sync_dist=False, then sync_dist=True"),
    ],
)
def test_one_name_with_two_meanings_in_one_hook_is_refused_with_what_differs(other: Any, change: str) -> None:
    def act(self: Any) -> None:
        self.log("x", 1.0)
        self.log("x", 5.0, **other)

    with pytest.raises(LoggingError, match=rf"called twice in `validation_step` with different arguments: {change}\. "):
        validate(act)


def test_a_name_is_text() -> None:
    with pytest.raises(LoggingError, match=r"a name is text\. Write `self\.log\('3', "):
        validate(lambda self: self.log(3, 1.0))


@pytest.mark.parametrize("given", [[("a", 1.0)], 1.0, None])
def test_log_dict_wants_values_by_name(given: Any) -> None:
    with pytest.raises(LoggingError, match=rf"given a {type(given).__name__}\. Give a dict"):
        validate(lambda self: self.log_dict(given))


def test_a_complex_tensor_is_refused() -> None:
    with pytest.raises(LoggingError, match="complex"):
        validate(lambda self: self.log("x", torch.tensor(1 + 2j)))


def test_two_spellings_of_one_meaning_are_one_metric() -> None:
    def act(self: Any) -> None:
        self.log("x", 1.0)
        self.log("x", 5.0, on_epoch=True, on_step=False, logger=True)
        self.log("x", 6.0, batch_size=4)

    assert validate(act) == {"x": (2 * 1 + 2 * 5 + 4 * 6) / 8}


def test_one_name_may_mean_different_things_in_different_hooks() -> None:
    class Two(Line):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("x", 1.0, reduce_fx="sum")

        def on_validation_epoch_end(self) -> None:
            self.log("x", 9.0, prog_bar=True)

    (result,) = trainer().validate(Two(), loader(2), verbose=False)
    assert result == {"x": 9.0}


def test_log_dict_takes_the_arguments_of_log() -> None:
    class Both(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log_dict({"a": 1.0, "b": 2.0 + batch_idx}, on_epoch=True, prog_bar=True)
            return self.loss(batch)

    fitted = trainer()
    fitted.fit(Both(), loader(2))
    assert rounded(fitted.progress_bar_metrics) == {"a_step": 1, "b_step": 3, "a_epoch": 1, "b_epoch": 2.5}


def test_errors_of_logging_are_errors_of_the_module_and_of_values() -> None:
    assert issubclass(LoggingError, (ModuleError,))
    assert issubclass(LoggingError, ValueError)
