"""Closures, and primitives that the module overrides. Weights equal a hand-written loop's."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from kernel_cases import Line, differences, loader, trainer, twins
from torch import nn
from torch.optim import LBFGS, SGD

from fulmen_interfaces import ConfigurationError, ModuleError


@pytest.mark.parametrize("max_iter", [1, 4])
def test_lbfgs_calls_the_step_as_often_as_it_wants(max_iter: int) -> None:
    class Newton(Line):
        calls = 0

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            type(self).calls += 1
            return self.loss(batch)

        def configure_optimizers(self) -> Any:
            return LBFGS(self.parameters(), lr=0.5, max_iter=max_iter)

    ours, theirs = twins(Newton)
    fitted = trainer(max_epochs=2)
    fitted.fit(ours, loader(3))
    calls, Newton.calls = Newton.calls, 0
    optimizer = theirs.configure_optimizers()
    for _ in range(2):
        for index, batch in enumerate(loader(3)):

            def closure(batch: Any = batch, index: int = index) -> Any:
                optimizer.zero_grad()
                loss = theirs.training_step(batch, index)
                loss.backward()
                return loss

            optimizer.step(closure)
    assert differences(ours, theirs) == []
    assert calls == Newton.calls
    assert fitted.global_step == 6


def test_an_overridden_optimizer_step_may_decide_when_to_step() -> None:
    class Rare(Line):
        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any) -> None:
            if batch_idx % 2 == 0:
                super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
            else:
                optimizer_closure()

    ours, theirs = twins(Rare)
    fitted = trainer()
    fitted.fit(ours, loader(5))
    optimizer = theirs.configure_optimizers()
    for index, batch in enumerate(loader(5)):
        optimizer.zero_grad()
        theirs.loss(batch).backward()
        if index % 2 == 0:
            optimizer.step()
    assert differences(ours, theirs) == []
    assert fitted.global_step == 3


@pytest.mark.parametrize("apart", [False, True])
def test_an_overridden_optimizer_step_that_does_not_step_leaves_gradients_unbounded_and_unseen(apart: bool) -> None:
    class Gathering(Line):
        seen: ClassVar[list[float]] = []

        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any) -> None:
            if batch_idx % 2 == 0:
                optimizer_closure()
            elif apart:
                optimizer_closure()
                optimizer.step()
            else:
                optimizer.step(closure=optimizer_closure)

        def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
            if batch_idx % 2 == 0:
                optimizer.zero_grad()

        def on_before_optimizer_step(self, optimizer: Any) -> None:
            self.seen.append(float(self.layer.weight.grad.norm()))

    Gathering.seen = []
    ours, theirs = twins(Gathering)
    trainer(gradient_clip_val=0.2).fit(ours, loader(6))
    optimizer, norms = theirs.configure_optimizers(), []
    for index, batch in enumerate(loader(6)):
        theirs.loss(batch).backward()
        if index % 2 == 1:
            norms.append(float(theirs.layer.weight.grad.norm()))
            nn.utils.clip_grad_norm_(theirs.parameters(), 0.2)
            optimizer.step()
            optimizer.zero_grad()
    assert differences(ours, theirs) == []
    assert Gathering.seen == norms


@pytest.mark.parametrize("steps", [False, True])
def test_an_overridden_optimizer_step_that_leaves_out_the_training_step_is_refused(steps: bool) -> None:
    class Forgetting(Line):
        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
            if steps:
                optimizer.step()

    with pytest.raises(ModuleError, match=r"without its closure.*`optimizer\.step\(closure=optimizer_closure\)`"):
        trainer().fit(Forgetting(), loader(1))


@pytest.mark.parametrize(
    ("bound", "argument"),
    [((-1.0,), "gradient_clip_val"), (("much",), "gradient_clip_val"), ((1.0, "l2"), "gradient_clip_algorithm")],
)
def test_a_bound_on_gradients_that_is_none_is_refused(bound: Any, argument: str) -> None:
    class Clipping(Line):
        def configure_gradient_clipping(self, optimizer: Any, *given: Any) -> None:
            self.clip_gradients(optimizer, *bound)

    with pytest.raises(ConfigurationError) as caught:
        trainer().fit(Clipping(), loader(1))
    assert [problem.argument for problem in caught.value.problems] == [argument]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_within_an_overridden_optimizer_step_its_steps_do_not_count_yet(accumulate: int) -> None:
    class Counting(Line):
        seen: ClassVar[list[int]] = []

        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any) -> None:
            self.seen.append(self.trainer.global_step)
            optimizer.step(closure=optimizer_closure)
            self.seen.append(self.global_step)
            optimizer.step()
            self.seen.append(self.global_step)

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.seen.append(-self.global_step)

    fitted = trainer(accumulate_grad_batches=accumulate)
    fitted.fit(Counting(), loader(2))
    seen, Counting.seen = list(Counting.seen), []
    assert seen == ([0, 0, 0, -2, 2, 2, 2, -4] if accumulate == 1 else [0, 0, 0, 0, -2])
    assert fitted.global_step == (4 if accumulate == 1 else 2)


def test_an_overridden_optimizer_step_may_warm_up_the_rate() -> None:
    class Warm(Line):
        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * (self.trainer.global_step + 1)
            optimizer.step(closure=optimizer_closure)

    ours, theirs = twins(Warm)
    trainer().fit(ours, loader(4))
    optimizer = theirs.configure_optimizers()
    for index, batch in enumerate(loader(4)):
        optimizer.param_groups[0]["lr"] = 0.01 * (index + 1)
        optimizer.zero_grad()
        theirs.loss(batch).backward()
        optimizer.step()
    assert differences(ours, theirs) == []


def test_an_overridden_optimizer_zero_grad_keeps_what_it_does_not_clear() -> None:
    class Keeping(Line):
        def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
            if batch_idx % 2 == 0:
                optimizer.zero_grad(set_to_none=False)

    ours, theirs = twins(Keeping)
    trainer().fit(ours, loader(4))
    optimizer = theirs.configure_optimizers()
    for index, batch in enumerate(loader(4)):
        if index % 2 == 0:
            optimizer.zero_grad()
        theirs.loss(batch).backward()
        optimizer.step()
    assert differences(ours, theirs) == []


@pytest.mark.parametrize("through_super", [True, False])
def test_an_overridden_backward_computes_the_gradients(through_super: bool) -> None:
    class Doubled(Line):
        def backward(self, loss: Any, *args: Any, **kwargs: Any) -> None:
            if through_super:
                super().backward(loss * 2, *args, **kwargs)
            else:
                (loss * 2).backward(*args, **kwargs)

    ours, theirs = twins(Doubled)
    trainer().fit(ours, loader(3))
    optimizer = theirs.configure_optimizers()
    for batch in loader(3):
        optimizer.zero_grad()
        (theirs.loss(batch) * 2).backward()
        optimizer.step()
    assert differences(ours, theirs) == []


def test_overridden_clipping_is_given_what_the_trainer_was_given() -> None:
    class Own(Line):
        given: ClassVar[list[Any]] = []

        def configure_gradient_clipping(
            self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
        ) -> None:
            self.given.append((gradient_clip_val, gradient_clip_algorithm))
            nn.utils.clip_grad_norm_(self.parameters(), 0.01)

    ours, theirs = twins(Own)
    trainer(gradient_clip_val=0.5, gradient_clip_algorithm="value").fit(ours, loader(2))
    optimizer = theirs.configure_optimizers()
    for batch in loader(2):
        optimizer.zero_grad()
        theirs.loss(batch).backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 0.01)
        optimizer.step()
    assert Own.given == [(0.5, "value")] * 2
    assert differences(ours, theirs) == []


def test_overridden_clipping_runs_without_a_bound_too() -> None:
    class Own(Line):
        given: ClassVar[list[Any]] = []

        def configure_gradient_clipping(
            self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
        ) -> None:
            self.given.append((gradient_clip_val, gradient_clip_algorithm))
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    trainer().fit(Own(), loader(1))
    assert Own.given == [(None, None)]


def test_parameters_that_are_in_no_optimizer_stay_as_they_are() -> None:
    class Half(Line):
        def __init__(self) -> None:
            super().__init__()
            self.other = nn.Linear(4, 1)

        def forward(self, x: Any) -> Any:
            return self.layer(x) + self.other(x)

        def configure_optimizers(self) -> Any:
            return SGD(self.layer.parameters(), lr=0.1)

    ours, untouched = twins(Half)
    trainer().fit(ours, loader(2))
    assert set(differences(ours, untouched)) == {"layer.weight", "layer.bias"}


def test_without_an_optimizer_the_steps_run_and_a_warning_says_so() -> None:
    class None_(Line):
        batches = 0

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.batches += 1
            return self.loss(batch)

        def configure_optimizers(self) -> None:
            return None

    ours, untouched = twins(None_)
    fitted = trainer()
    with pytest.warns(UserWarning, match="returned no optimizer"):
        fitted.fit(ours, loader(3))
    assert (ours.batches, fitted.global_step, differences(ours, untouched)) == (3, 0, [])


def test_gradients_that_a_closure_computes_by_hand_are_shown_before_they_step() -> None:
    seen: list[float] = []

    class Closing(Line):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer = self.optimizers()
            optimizer.zero_grad()

            def closure() -> Any:
                loss = self.loss(batch)
                self.manual_backward(loss)
                self.expected = self.layer.weight.grad.sum().item()
                return loss

            optimizer.step(closure=closure)
            assert seen[-1] == self.expected

        def on_before_optimizer_step(self, optimizer: Any) -> None:
            seen.append(self.layer.weight.grad.sum().item())

    trainer().fit(Closing(), loader(2))
    assert len(seen) == 2
