"""Other ways to optimise: closures, several optimizers, manual optimisation. Weights equal a hand-written loop's."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from kernel_cases import Line, differences, loader, trainer, twins
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim import LBFGS, SGD, Adam

from fulmen_interfaces import ModuleError


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


class Gan(Line):
    """A generator of two numbers and a discriminator, which share nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.critic = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))

    def generator_loss(self, batch: Any) -> Any:
        return -self.critic(self.layer(batch[0])).mean()

    def critic_loss(self, batch: Any) -> Any:
        made, real = self.critic(self.layer(batch[0]).detach()), self.critic(batch[0][:, :2])
        return mse_loss(made, torch.zeros_like(made)) + mse_loss(real, torch.ones_like(real))

    def configure_optimizers(self) -> Any:
        return [Adam(self.layer.parameters(), lr=0.01), SGD(self.critic.parameters(), lr=0.1)]


class ManualGan(Gan):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.flags: list[tuple[bool, bool]] = []

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for optimizer, loss in zip(self.optimizers(), (self.generator_loss, self.critic_loss), strict=True):
            self.toggle_optimizer(optimizer)
            self.flags.append((self.layer.weight.requires_grad, self.critic[0].weight.requires_grad))
            optimizer.zero_grad()
            self.manual_backward(loss(batch))
            optimizer.step()
            self.untoggle_optimizer(optimizer)


class ContextGan(ManualGan):
    def training_step(self, batch: Any, batch_idx: int) -> None:
        first, second = self.optimizers()
        with self.toggled_optimizer(first):
            first.zero_grad()
            self.manual_backward(self.generator_loss(batch))
            first.step()
        with second.toggle_model():
            second.zero_grad()
            self.manual_backward(self.critic_loss(batch))
            second.step()


class RawGan(ManualGan):
    def training_step(self, batch: Any, batch_idx: int) -> None:
        for optimizer, loss in zip(
            self.optimizers(use_pl_optimizer=False), (self.generator_loss, self.critic_loss), strict=True
        ):
            optimizer.zero_grad()
            self.manual_backward(loss(batch))
            optimizer.step()


def gan_by_hand(module: Gan, epochs: int, batches: int) -> None:
    first, second = module.configure_optimizers()
    for _ in range(epochs):
        for batch in loader(batches):
            first.zero_grad()
            module.generator_loss(batch).backward()
            first.step()
            second.zero_grad()
            module.critic_loss(batch).backward()
            second.step()


@pytest.mark.parametrize(("kind", "steps"), [(ManualGan, 12), (ContextGan, 12), (RawGan, 0)])
def test_manual_optimisation_of_a_gan(kind: type[ManualGan], steps: int) -> None:
    ours, theirs = twins(kind)
    fitted = trainer(max_epochs=2)
    fitted.fit(ours, loader(3))
    gan_by_hand(theirs, 2, 3)
    assert differences(ours, theirs) == []
    assert fitted.global_step == steps  # steps of optimizers that were asked for raw are not seen
    assert ours.flags == ([(True, False), (False, True)] * 6 if kind is ManualGan else [])
    assert all(parameter.requires_grad for parameter in ours.parameters())


def test_manual_accumulation_is_the_user_s_own() -> None:
    class Every2(Line):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.manual_backward(self.loss(batch) / 2)
            if batch_idx % 2:
                self.clip_gradients(self.optimizers(), gradient_clip_val=0.1, gradient_clip_algorithm="value")
                self.optimizers().step()
                self.optimizers().zero_grad()

    ours, theirs = twins(Every2)
    trainer().fit(ours, loader(4))
    optimizer = theirs.configure_optimizers()
    for index, batch in enumerate(loader(4)):
        (theirs.loss(batch) / 2).backward()
        if index % 2:
            nn.utils.clip_grad_value_(theirs.parameters(), 0.1)
            optimizer.step()
            optimizer.zero_grad()
    assert differences(ours, theirs) == []


def test_a_manual_step_may_have_a_closure() -> None:
    class Closing(Line):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def configure_optimizers(self) -> Any:
            return LBFGS(self.parameters(), max_iter=3)

        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer = self.optimizers()

            def closure() -> Any:
                optimizer.zero_grad()
                loss = self.loss(batch)
                self.manual_backward(loss)
                return loss

            optimizer.step(closure=closure)

    ours, theirs = twins(Closing)
    trainer().fit(ours, loader(3))
    optimizer = theirs.configure_optimizers()
    for batch in loader(3):

        def closure(batch: Any = batch) -> Any:
            optimizer.zero_grad()
            loss = theirs.loss(batch)
            loss.backward()
            return loss

        optimizer.step(closure)
    assert differences(ours, theirs) == []


class IndexedGan(Gan):
    """The way of earlier versions: one step for several optimizers, told apart by `optimizer_idx`."""

    def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int) -> Any:
        return self.generator_loss(batch) if optimizer_idx == 0 else self.critic_loss(batch)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_several_optimizers_in_automatic_mode_take_turns(accumulate: int) -> None:
    ours, theirs = twins(IndexedGan)
    fitted = trainer(max_epochs=2, accumulate_grad_batches=accumulate)
    fitted.fit(ours, loader(4))
    first, second = theirs.configure_optimizers()
    for _ in range(2):
        for index, batch in enumerate(loader(4)):
            for number, optimizer in enumerate((first, second)):
                own = theirs.layer if number == 0 else theirs.critic
                if index % accumulate == 0:
                    optimizer.zero_grad()
                theirs.requires_grad_(False)
                own.requires_grad_(True)
                loss = theirs.training_step(batch, index, number)
                (loss / accumulate if accumulate > 1 else loss).backward()
                if index % accumulate == accumulate - 1:
                    optimizer.step()
    assert differences(ours, theirs) == []
    assert fitted.global_step == 2 * 2 * 4 // accumulate


def test_the_outputs_of_several_optimizers_are_given_in_their_order() -> None:
    class Seen(IndexedGan):
        outputs: Any = None

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.outputs = outputs

    module = Seen()
    trainer().fit(module, loader(1))
    assert [set(one) for one in module.outputs] == [{"loss"}, {"loss"}]


def test_several_optimizers_without_an_index_are_refused_with_both_ways_out() -> None:
    class Plain(Gan):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.generator_loss(batch)

    with pytest.raises(ModuleError, match=r"2 optimizers.*automatic_optimization = False.*optimizer_idx"):
        trainer().fit(Plain(), loader(1))


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
