"""How the values of an epoch become one: weighted means, sums, extremes, functions of one's own."""

from __future__ import annotations

import math
import warnings
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import Line, Unsized, loader, rounded, trainer
from logging_cases import EPOCH

from fulmen_core.logging._accumulators import Folded, WeightedSum, make_accumulator
from fulmen_interfaces import LoggingError


def validate(step: Any, data: Any) -> dict[str, float]:
    """Return what a validation step logs over the data."""
    module = type("Validating", (Line,), {"validation_step": step})()
    (result,) = trainer().validate(module, data, verbose=False)
    return rounded(result)


def test_means_are_weighted_by_batch_size_and_the_others_are_not() -> None:
    def step(self: Any, batch: Any, batch_idx: int) -> None:
        value = float(batch_idx + 1)
        self.log("auto", value)
        self.log("given", value, batch_size=[1, 3][batch_idx])
        for reduce_fx in ("mean", "sum", "min", "max", torch.mean, torch.sum, torch.min, torch.max, min, max):
            name = reduce_fx if isinstance(reduce_fx, str) else f"{reduce_fx.__module__}.{reduce_fx.__name__}"
            self.log(name, value, reduce_fx=reduce_fx)

    result = validate(step, loader(2, size=4, last=1))
    mean, total = (1 * 4 + 2 * 1) / 5, 3.0
    assert result.pop("auto") == result.pop("mean") == mean
    assert result.pop("given") == (1 * 1 + 2 * 3) / 4
    torch_name = torch.mean.__module__
    assert result.pop(f"{torch_name}.mean") == mean
    assert result.pop("sum") == result.pop(f"{torch_name}.sum") == total
    assert {value for key, value in result.items() if "min" in key} == {1.0}
    assert {value for key, value in result.items() if "max" in key} == {2.0}
    assert len(result) == 6


def test_the_mean_has_other_spellings() -> None:
    def step(self: Any, batch: Any, batch_idx: int) -> None:
        for word in ("avg", "MEAN", "Max"):
            self.log(word, float(batch_idx), reduce_fx=word)

    assert validate(step, loader(2, size=2)) == {"avg": 0.5, "MEAN": 0.5, "Max": 1.0}


def test_a_mean_over_no_samples_is_not_a_number() -> None:
    def step(self: Any, batch: Any, batch_idx: int) -> None:
        self.log("x", 1.0, batch_size=0)

    assert str(validate(step, loader(2))["x"]) == "nan"


def test_a_function_of_one_s_own_gets_all_values_stacked() -> None:
    def step(self: Any, batch: Any, batch_idx: int) -> None:
        self.log("product", float(batch_idx + 2), reduce_fx=torch.prod)
        self.log("spread", float(batch_idx), reduce_fx=lambda values: values.max() - values.min())

    # a lambda is another function at each call, and so is another metric of the same name
    with pytest.raises(LoggingError, match="with different arguments"):
        validate(step, loader(3))

    def spread(values: torch.Tensor) -> torch.Tensor:
        return values.max() - values.min()

    def better(self: Any, batch: Any, batch_idx: int) -> None:
        self.log("product", float(batch_idx + 2), reduce_fx=torch.prod)
        self.log("spread", float(batch_idx), reduce_fx=spread)

    assert validate(better, loader(3)) == {"product": 24.0, "spread": 2.0}


def test_a_name_may_be_logged_more_than_once_in_one_batch() -> None:
    def step(self: Any, batch: Any, batch_idx: int) -> None:
        self.log("x", 1.0 + batch_idx)
        self.log("x", 5.0)

    assert validate(step, loader(2)) == {"x": 3.25}


def test_every_epoch_is_reduced_by_itself() -> None:
    seen: list[dict[str, float]] = []

    class Epochs(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            for reduce_fx in ("mean", "sum", "min", "max"):
                self.log(reduce_fx, 10.0 * self.current_epoch + batch_idx, reduce_fx=reduce_fx, **EPOCH)
            return self.loss(batch)

        def on_train_epoch_start(self) -> None:
            seen.append(rounded(self.trainer.callback_metrics))

    fitted = trainer(max_epochs=3)
    fitted.fit(Epochs(), loader(3))
    seen.append(rounded(fitted.callback_metrics))
    truth = [{"mean": 10 * e + 1, "sum": 30 * e + 3, "min": 10 * e, "max": 10 * e + 2} for e in range(3)]
    assert seen == [{}, *truth]


Named = namedtuple("Named", ["label", "x"])


@dataclass
class Struct:
    name: str
    x: torch.Tensor


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        (torch.zeros(3, 2), 3),
        ((torch.zeros(3, 2), torch.zeros(3)), 3),
        ([torch.zeros(5), "text"], 5),
        ({"label": "text", "x": torch.zeros(2, 1)}, 2),
        ({"x": {"deep": [torch.zeros(4)]}}, 4),
        (Named("a", torch.zeros(6)), 6),
        (Struct("a", torch.zeros(7)), 7),
        (torch.tensor(1.0), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_batch_size_is_the_first_dimension_of_the_first_tensor(batch: Any, size: int) -> None:
    def step(self: Any, given: Any, batch_idx: int) -> None:
        self.log("x", float(batch_idx))

    batches = Unsized([batch, torch.zeros(1)])  # the second is one sample of the plainest kind
    assert validate(step, batches)["x"] == pytest.approx(1 / (size + 1), abs=1e-5)


@pytest.mark.parametrize("batch", ["text", 3, ["a", "b"], object()], ids=lambda value: type(value).__name__)
def test_a_batch_without_tensors_needs_a_batch_size_where_it_counts(batch: Any) -> None:
    def mean(self: Any, given: Any, batch_idx: int) -> None:
        self.log("x", 1.0)

    def told(self: Any, given: Any, batch_idx: int) -> None:
        self.log("x", 1.0, batch_size=2)
        self.log("most", 1.0, reduce_fx="max")

    with pytest.raises(LoggingError, match=r"batch_size="):
        validate(mean, Unsized([batch]))
    assert validate(told, Unsized([batch])) == {"x": 1.0, "most": 1.0}


def test_step_values_need_no_batch_size() -> None:
    class Text(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("x", 1.0)
            return self.layer(torch.ones(1, 4)).sum()

    fitted = trainer()
    fitted.fit(Text(), ["a", "b"])
    assert fitted.callback_metrics["x"] == 1.0


def test_an_ambiguous_batch_size_is_told_with_the_one_that_was_taken() -> None:
    def step(self: Any, batch: Any, batch_idx: int) -> None:
        self.log("x", float(batch_idx))

    with pytest.warns(UserWarning, match=r"first dimensions.*batch_size"):
        result = validate(step, [(torch.zeros(3), torch.zeros(2)), (torch.zeros(1), torch.zeros(2))])
    assert result["x"] == 0.25


@pytest.mark.parametrize("hook", ["on_validation_start", "on_validation_epoch_start", "on_validation_epoch_end"])
def test_hooks_without_a_batch_need_no_batch_size(hook: str) -> None:
    def step(self: Any, batch: Any, batch_idx: int) -> None:
        pass

    def logging(self: Any) -> None:
        self.log("x", 1.0)
        self.log("x", 4.0)

    module = type("Validating", (Line,), {"validation_step": step, hook: logging})()
    (result,) = trainer().validate(module, ["no tensor"], verbose=False)
    assert result == {"x": 2.5}


def test_training_hooks_without_a_batch_need_no_batch_size() -> None:
    class Epochs(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.layer(torch.ones(1, 4)).sum()

        def on_train_start(self) -> None:
            self.log("start", 1.0)

        def on_train_epoch_start(self) -> None:
            self.log("epoch_start", 2.0)

        def on_train_epoch_end(self) -> None:
            self.log("epoch_end", 3.0)

    fitted = trainer(max_epochs=2)
    fitted.fit(Epochs(), ["no tensor"])
    assert rounded(fitted.callback_metrics) == {"start": 1, "epoch_start": 2, "epoch_end": 3}


VALUES = st.lists(st.tuples(st.floats(-1e3, 1e3, width=32), st.integers(1, 9), st.booleans()), min_size=1, max_size=200)


@settings(max_examples=60, deadline=None)
@given(values=VALUES, name=st.sampled_from(["mean", "sum", "min", "max"]))
def test_accumulators_agree_with_plain_python(values: list[tuple[float, int, bool]], name: str) -> None:
    """Each value comes as a number, as host values do, or as a tensor, as device values do."""
    accumulator = make_accumulator(name)
    assert accumulator is not None
    for value, weight, as_tensor in values:
        accumulator.add(torch.tensor(value) if as_tensor else value, weight)
    numbers = [value for value, _, _ in values]
    truth = {
        "mean": math.fsum(value * weight for value, weight, _ in values) / sum(weight for _, weight, _ in values),
        "sum": math.fsum(numbers),
        "min": min(numbers),
        "max": max(numbers),
    }[name]
    exact = not any(as_tensor for _, _, as_tensor in values)
    scale = max(map(abs, numbers)) * len(numbers)
    assert float(accumulator.compute()) == pytest.approx(truth, rel=1e-12 if exact else 1e-4, abs=1e-5 * scale + 1e-9)
    accumulator.reset()
    accumulator.add(5.0, 2)
    assert float(accumulator.compute()) == 5.0


@pytest.mark.parametrize("name", ["mean", "sum", "min", "max"])
def test_host_values_are_folded_in_double_precision(name: str) -> None:
    accumulator = make_accumulator(name)
    assert accumulator is not None
    for _ in range(1000):
        accumulator.add(0.1, 1)
    assert accumulator.compute() == pytest.approx({"sum": 100.0}.get(name, 0.1), rel=1e-12)


@pytest.mark.parametrize("name", ["mean", "min"])
def test_device_values_are_not_read_when_they_are_added(name: str) -> None:
    """A meta tensor has no values: whatever waits for one fails."""
    accumulator = make_accumulator(name)
    assert accumulator is not None
    for _ in range(200):
        accumulator.add(torch.empty((), device="meta"), 2)
    result = accumulator.compute()
    assert isinstance(result, torch.Tensor)
    assert result.device.type == "meta"


@pytest.mark.parametrize("name", ["mean", "sum", "max"])
@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_an_accumulator_goes_on_from_its_state(name: str, kind: Any) -> None:
    first, second, whole = make_accumulator(name), make_accumulator(name), make_accumulator(name)
    assert first is not None
    assert second is not None
    assert whole is not None
    values = [(float(number % 7), number % 3 + 1) for number in range(150)]
    for value, weight in values[:70]:
        first.add(kind(value), weight)
    second.load_state_dict(first.state_dict())
    for value, weight in values[70:]:
        second.add(kind(value), weight)
    for value, weight in values:
        whole.add(kind(value), weight)
    assert second.compute() == whole.compute()


def test_unknown_words_make_no_accumulator() -> None:
    assert make_accumulator("median") is None
    assert isinstance(make_accumulator("sum"), WeightedSum)
    assert isinstance(make_accumulator(torch.median), Folded)


def test_no_warning_comes_from_ordinary_use() -> None:
    class Ordinary(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch)
            self.log("loss", loss, on_step=True, on_epoch=True, prog_bar=True)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", self.loss(batch))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer(max_epochs=2).fit(Ordinary(), loader(3), loader(2))
