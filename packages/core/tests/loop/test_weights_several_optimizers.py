"""Several optimizers: manual optimisation, and turns by index. Weights equal a hand-written loop's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernel_cases import Line, differences, loader, trainer, twins
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim import LBFGS, SGD, Adam

from fulmen_interfaces import ModuleError


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
