"""Schedulers step when they should: weights and learning rates equal those of a hand-written loop."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from kernel_cases import Line, differences, loader, trainer, twins
from torch.optim import SGD
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, OneCycleLR, ReduceLROnPlateau, StepLR

from fulmen_interfaces import Callback, LRSchedulerConfig, ModuleError

Truth = list[float]


class Rates(Callback):
    """Keeps the learning rate with which each batch was trained."""

    def __init__(self) -> None:
        self.seen: Truth = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.seen.append(optimizer.param_groups[0]["lr"])


def scheduled(make: Callable[[Any, Any], Any], **keys: Any) -> type[Line]:
    """Return a module class with the scheduler that `make` returns for the module and its optimizer."""

    class Scheduled(Line):
        def configure_optimizers(self) -> Any:
            optimizer = SGD(self.parameters(), lr=self.lr)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": make(self, optimizer), **keys}}

    return Scheduled


def train(kind: type[Line], batches: int, epochs: int, **run: Any) -> tuple[Line, Line, Truth]:
    ours, theirs = twins(kind)
    rates = Rates()
    trainer(max_epochs=epochs, callbacks=[rates], **run).fit(ours, loader(batches))
    return ours, theirs, rates.seen


def by_hand(
    module: Line,
    make: Callable[[Any], Any],
    *,
    batches: int,
    epochs: int,
    per_step: bool,
    frequency: int = 1,
    accumulate: int = 1,
) -> Truth:
    optimizer = SGD(module.parameters(), lr=module.lr)
    scheduler = make(optimizer)
    rates: Truth = []
    for epoch in range(epochs):
        optimizer.zero_grad()
        for index, batch in enumerate(loader(batches)):
            size = min(accumulate, batches - index // accumulate * accumulate)
            (module.loss(batch) / size).backward()
            if index % accumulate == accumulate - 1 or index == batches - 1:
                rates.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                optimizer.zero_grad()
                if per_step and len(rates) % frequency == 0:
                    scheduler.step()
        if not per_step and (epoch + 1) % frequency == 0:
            scheduler.step()
    return rates


@pytest.mark.parametrize("frequency", [1, 2])
def test_an_epoch_scheduler_steps_after_epochs(frequency: int) -> None:
    kind = scheduled(lambda module, optimizer: StepLR(optimizer, 1, gamma=0.5), frequency=frequency)
    ours, theirs, rates = train(kind, batches=3, epochs=4)
    truth = by_hand(
        theirs, lambda one: StepLR(one, 1, gamma=0.5), batches=3, epochs=4, per_step=False, frequency=frequency
    )
    assert rates == truth
    assert differences(ours, theirs) == []


@pytest.mark.parametrize("frequency", [1, 2, 3])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_scheduler_steps_after_optimizer_steps(frequency: int, accumulate: int) -> None:
    kind = scheduled(lambda module, optimizer: ExponentialLR(optimizer, 0.9), interval="step", frequency=frequency)
    ours, theirs, rates = train(kind, batches=5, epochs=2, accumulate_grad_batches=accumulate)
    truth = by_hand(
        theirs,
        lambda one: ExponentialLR(one, 0.9),
        batches=5,
        epochs=2,
        per_step=True,
        frequency=frequency,
        accumulate=accumulate,
    )
    assert rates == truth
    assert differences(ours, theirs) == []


@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("max_steps", [-1, 4])
def test_one_cycle_is_as_long_as_the_estimated_steps(accumulate: int, max_steps: int) -> None:
    kind = scheduled(
        lambda module, optimizer: OneCycleLR(
            optimizer, max_lr=0.2, total_steps=int(module.trainer.estimated_stepping_batches)
        ),
        interval="step",
    )
    per_epoch = -(-5 // accumulate)
    total = 2 * per_epoch if max_steps == -1 else min(max_steps, 2 * per_epoch)
    _, theirs, rates = train(kind, batches=5, epochs=2, accumulate_grad_batches=accumulate, max_steps=max_steps)
    optimizer = SGD(theirs.parameters(), lr=theirs.lr)
    cycle = OneCycleLR(optimizer, max_lr=0.2, total_steps=total)
    truth = []
    for step in range(total):
        truth.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < total - 1:
            cycle.step()
    assert rates == truth
    assert len(rates) == total
    assert rates[-1] < rates[0]


class Falling(Line):
    """Logs a validation loss that is 10 in the first epoch and 20 ever after."""

    keys: dict[str, Any]

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("seen", 1.0)
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", 10.0 if self.current_epoch == 0 else 20.0)

    def configure_optimizers(self) -> Any:
        optimizer = SGD(self.parameters(), lr=self.lr)
        plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, **self.keys}}


def plateau_rates(epochs: int, batches: int, **keys: Any) -> Truth:
    ours, rates = Falling(), Rates()
    ours.keys = keys
    run = keys.pop("run", {})
    fitted = trainer(max_epochs=epochs, callbacks=[rates], num_sanity_val_steps=0, **run)
    fitted.fit(ours, loader(batches), loader(1))
    return rates.seen


def test_a_plateau_scheduler_sees_the_metric_of_its_epoch() -> None:
    # 10, 20, 20: the second bad epoch in a row (patience 1) halves the rate for the fourth epoch
    assert plateau_rates(5, 2, monitor="val_loss") == [0.1] * 6 + [0.05] * 4


@pytest.mark.parametrize(("steps", "stepped"), [(3, 1), (4, 2)])
def test_a_plateau_scheduler_does_not_count_an_epoch_that_was_cut_short(steps: int, stepped: int) -> None:
    ours = Falling()
    ours.keys = {"monitor": "seen"}
    fitted = trainer(max_steps=steps, max_epochs=-1, num_sanity_val_steps=0)
    fitted.fit(ours, loader(2), loader(1))
    (config,) = fitted.lr_scheduler_configs
    assert config.scheduler.last_epoch == stepped


def test_a_plateau_scheduler_may_be_given_its_metric_beside_it() -> None:
    class Beside(Falling):
        def configure_optimizers(self) -> Any:
            optimizer = SGD(self.parameters(), lr=self.lr)
            plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
            return {"optimizer": optimizer, "lr_scheduler": plateau, "monitor": "val_loss"}

    rates = Rates()
    trainer(max_epochs=5, callbacks=[rates], num_sanity_val_steps=0).fit(Beside(), loader(2), loader(1))
    assert rates.seen == [0.1] * 6 + [0.05] * 4


def test_a_plateau_scheduler_by_step_counts_optimizer_steps_and_not_batches() -> None:
    run = {"accumulate_grad_batches": 2}
    # the metric never falls: with patience 1 steps 3, 5 (after those that saw 2 bad ones) are taken at half the rate
    rates = plateau_rates(1, 10, monitor="seen", interval="step", run=run)
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    truth = []
    for _ in range(5):
        truth.append(optimizer.param_groups[0]["lr"])
        plateau.step(1.0)
    assert rates == truth


def test_a_metric_that_was_never_logged_is_named_with_those_that_were() -> None:
    with pytest.raises(ModuleError, match=r"watches 'vla_loss', which was not logged.*Logged so far: seen, val_loss"):
        plateau_rates(1, 2, monitor="vla_loss")


def test_a_missing_metric_is_only_warned_of_where_the_scheduler_is_not_strict() -> None:
    with pytest.warns(UserWarning, match="does not step"):
        assert plateau_rates(2, 1, monitor="vla_loss", strict=False) == [0.1, 0.1]


def test_two_schedulers_of_one_optimizer_step_each_in_its_own_time() -> None:
    class Two(Line):
        def configure_optimizers(self) -> Any:
            optimizer = SGD(self.parameters(), lr=1.0)
            self.by_step = LambdaLR(optimizer, lambda step: 0.9**step)
            self.by_epoch = LambdaLR(optimizer, lambda epoch: 0.5**epoch)
            return [optimizer], [{"scheduler": self.by_step, "interval": "step"}, self.by_epoch]

    module = Two()
    trainer(max_epochs=2).fit(module, loader(3))
    assert (module.by_step.last_epoch, module.by_epoch.last_epoch) == (6, 2)


def test_lr_scheduler_step_may_be_overridden() -> None:
    class Own(Falling):
        keys: ClassVar[dict[str, Any]] = {"monitor": "val_loss"}
        steps: ClassVar[list[Any]] = []

        def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
            self.steps.append((type(scheduler).__name__, float(metric)))

    trainer(max_epochs=2, num_sanity_val_steps=0).fit(Own(), loader(2), loader(1))
    assert Own.steps == [("ReduceLROnPlateau", 10.0), ("ReduceLROnPlateau", 20.0)]


def test_a_scheduler_of_another_kind_steps_by_the_module_s_own_way() -> None:
    class Counting:
        """No scheduler of torch: it only counts."""

        def __init__(self, optimizer: Any) -> None:
            self.optimizer = optimizer
            self.epochs: list[int] = []

        def step(self, epoch: int) -> None:
            self.epochs.append(epoch)

        def state_dict(self) -> dict[str, Any]:
            return {}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            raise AssertionError

    class Own(Line):
        def configure_optimizers(self) -> Any:
            optimizer = SGD(self.parameters(), lr=0.1)
            self.counting = Counting(optimizer)
            return [optimizer], [self.counting]

        def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
            scheduler.step(epoch=self.current_epoch)

    module = Own()
    trainer(max_epochs=3).fit(module, loader(1))
    assert module.counting.epochs == [0, 1, 2]


def test_schedulers_are_left_alone_under_manual_optimisation() -> None:
    class Manual(Line):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer, scheduler = self.optimizers(), self.lr_schedulers()
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            optimizer.step()
            if batch_idx == 1:
                scheduler.step()

        def configure_optimizers(self) -> Any:
            optimizer = SGD(self.parameters(), lr=0.1)
            self.scheduler = StepLR(optimizer, 1)
            return [optimizer], [self.scheduler]

    module = Manual()
    trainer(max_epochs=3).fit(module, loader(3))
    assert module.scheduler.last_epoch == 3


def test_a_plateau_scheduler_that_is_stepped_by_hand_needs_no_name_of_a_metric() -> None:
    class Manual(Line):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.optimizers().zero_grad()
            self.manual_backward(self.loss(batch))
            self.optimizers().step()

        def on_train_epoch_end(self) -> None:
            self.lr_schedulers().step(1.0)

        def configure_optimizers(self) -> Any:
            optimizer = SGD(self.parameters(), lr=0.1)
            return [optimizer], [ReduceLROnPlateau(optimizer, factor=0.5, patience=0)]

    ready = trainer(max_epochs=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ready.fit(Manual(), loader(1))
    assert ready.optimizers[0].param_groups[0]["lr"] == 0.1 * 0.5**2


@pytest.mark.parametrize("key", [{"interval": "step"}, {"frequency": 2}, {"monitor": "x"}])
def test_when_schedulers_step_is_not_said_under_manual_optimisation(key: dict[str, Any]) -> None:
    class Manual(Line):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def configure_optimizers(self) -> Any:
            optimizer = SGD(self.parameters(), lr=0.1)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": StepLR(optimizer, 1), **key}}

    with pytest.warns(UserWarning, match=r"no scheduler steps by itself.*self\.lr_schedulers\(\)\.step\(\)"):
        trainer().fit(Manual(), loader(1))


def test_the_trainer_shows_the_schedulers_as_they_were_read() -> None:
    kind = scheduled(lambda module, optimizer: StepLR(optimizer, 1), interval="step", frequency=2, name="mine")
    fitted = trainer()
    fitted.fit(kind(), loader(1))
    (config,) = fitted.lr_scheduler_configs
    assert isinstance(config, LRSchedulerConfig)
    assert (type(config.scheduler), config.interval, config.frequency, config.name) == (StepLR, "step", 2, "mine")
    assert fitted.optimizers[0] is config.scheduler.optimizer
