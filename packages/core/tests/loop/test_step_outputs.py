"""What a training step may return, what it trains, and what `on_train_batch_end` receives of it."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from kernel_cases import Line, differences, loader, trainer, twins

from fulmen_interfaces import Callback, StepOutputError


class Returning(Line):
    """Returns what `make` makes of the loss."""

    make: Any = staticmethod(lambda loss: loss)
    manual = False

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = not self.manual
        self.outputs: list[Any] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        if self.manual:
            self.optimizers().zero_grad()
            self.manual_backward(loss)
            self.optimizers().step()
        return self.make(loss)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.outputs.append(outputs)


def returning(make: Any, *, manual: bool = False) -> type[Returning]:
    return type("Returning", (Returning,), {"make": staticmethod(make), "manual": manual})


@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize(
    "make", [lambda loss: loss, lambda loss: {"loss": loss, "extra": loss * 2}], ids=["tensor", "dict"]
)
def test_a_tensor_and_a_dict_train_alike_and_are_handed_on_detached(make: Any, manual: bool) -> None:
    ours, theirs = twins(returning(make, manual=manual))
    trainer().fit(ours, loader(2))
    optimizer = theirs.configure_optimizers()
    losses = []
    for batch in loader(2):
        optimizer.zero_grad()
        loss = theirs.loss(batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert differences(ours, theirs) == []
    assert [outputs["loss"].item() for outputs in ours.outputs] == losses
    assert not any(outputs["loss"].requires_grad for outputs in ours.outputs)
    if "extra" in ours.outputs[0]:
        assert ours.outputs[0]["extra"].grad_fn is not None  # what is not the loss is handed on as it is


def test_the_loss_is_handed_on_divided_as_it_was_trained_on() -> None:
    module = Returning()
    truth = [module.loss(batch).item() / 2 for batch in loader(2)]
    trainer(accumulate_grad_batches=2).fit(module, loader(2))
    assert [outputs["loss"].item() for outputs in module.outputs] == truth


def test_a_tensor_with_one_element_is_a_loss() -> None:
    ours, _ = twins(returning(lambda loss: loss.reshape(1, 1)))
    plain, _ = twins(Returning)
    trainer().fit(ours, loader(2))
    trainer().fit(plain, loader(2))
    assert differences(ours, plain) == []


@pytest.mark.parametrize("manual", [False, True])
def test_none_leaves_the_batch_out(manual: bool) -> None:
    class Sometimes(Returning):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return None if batch_idx == 1 else self.loss(batch)

    Sometimes.manual = manual
    ours, theirs = twins(Sometimes)
    trainer().fit(ours, loader(3))
    assert ours.outputs[1] == {}
    if not manual:
        optimizer = theirs.configure_optimizers()
        for index, batch in enumerate(loader(3)):
            optimizer.zero_grad()
            if index != 1:
                theirs.loss(batch).backward()
            optimizer.step()
        assert differences(ours, theirs) == []


def test_a_manual_dict_needs_no_loss() -> None:
    module = returning(lambda loss: {"mine": 1}, manual=True)()
    trainer().fit(module, loader(1))
    assert module.outputs == [{"mine": 1}]


def test_callbacks_and_module_share_the_outputs() -> None:
    class Adding(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            outputs["added"] = batch_idx

    module = Returning()
    trainer(callbacks=[Adding()]).fit(module, loader(2))
    assert [outputs["added"] for outputs in module.outputs] == [0, 1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda loss: 1.5, "returned a value of type float"),
        (lambda loss: "loss", "returned a value of type str"),
        (lambda loss: [loss], "returned a value of type list"),
        (lambda loss: {"los": loss}, r"a dict that holds 'los'\."),
        (lambda loss: {}, "a dict that holds nothing"),
        (lambda loss: {"loss": None}, "a dict that holds under 'loss' None"),
        (lambda loss: {"loss": 1.5}, "holds under 'loss' 1.5"),
        (lambda loss: torch.stack([loss, loss]), r"has the shape \(2,\).*`loss\.mean\(\)`"),
        (lambda loss: {"loss": torch.stack([loss, loss])}, r"has the shape \(2,\)"),
        (lambda loss: loss.detach(), "has no graph.*Was it detached"),
        (lambda loss: torch.tensor(1.0), "has no graph"),
    ],
)
def test_what_cannot_be_trained_on_is_told_with_what_can(make: Any, message: str) -> None:
    with pytest.raises(StepOutputError, match=message):
        trainer().fit(returning(make)(), loader(1))


@pytest.mark.parametrize("returned", [1.5, "loss", {"loss": "x"}])
@pytest.mark.parametrize("somebody_looks", [False, True])
def test_a_manual_step_returns_tensors_dicts_or_nothing(returned: Any, somebody_looks: bool) -> None:
    class Manual(Line):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return returned

    class Looking(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            pass

    with pytest.raises(StepOutputError, match="Return the loss"):
        trainer(callbacks=[Looking()] if somebody_looks else []).fit(Manual(), loader(1))


@pytest.mark.parametrize("value", [None, 1, "text", object(), [torch.ones(2)]])
def test_evaluation_steps_may_return_anything(value: Any) -> None:
    class Any_(Line):
        seen: ClassVar[list[Any]] = []

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            return value

        test_step = predict_step = validation_step

        def on_validation_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            self.seen.append(outputs)

        on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    Any_.seen = []
    module = Any_()
    trainer().validate(module, loader(1), verbose=False)
    trainer().test(module, loader(1), verbose=False)
    predictions = trainer().predict(module, loader(1))
    assert len(Any_.seen) == 3
    assert all(one is value for one in [*Any_.seen, *predictions])


def test_a_step_that_returns_nothing_is_told_once() -> None:
    class Forgetting(Line):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.loss(batch)

    module = Forgetting()
    before = module.layer.weight.detach().clone()
    with pytest.warns(UserWarning, match=r"returned None.*nothing is learnt") as told:
        trainer(max_epochs=2).fit(module, loader(3))
    assert len([one for one in told if "returned None" in str(one.message)]) == 1
    assert torch.equal(module.layer.weight, before)
