"""When validation runs inside a fit."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import Line, Unsized, loader, trainer

from fulmen_core.loop import FitProgress, ValidationClock
from fulmen_interfaces import ConfigurationError


class Noting(Line):
    """Keeps after how many training batches of the whole fit, and of the epoch, validation ran."""

    def __init__(self) -> None:
        super().__init__()
        self.done = self.in_epoch = 0
        self.validated: list[int] = []
        self.validated_in_epoch: list[tuple[int, int]] = []
        self.batches = 0

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.done += 1
        self.in_epoch = batch_idx + 1
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.batches += 1

    def on_validation_end(self) -> None:
        if not self.trainer.sanity_checking:
            self.validated.append(self.done)
            self.validated_in_epoch.append((self.current_epoch, self.in_epoch))


def fit(batches: int = 10, *, unsized: bool = False, **run: Any) -> Noting:
    module = Noting()
    data = loader(batches, size=1)
    trainer(**{"num_sanity_val_steps": 0, **run}).fit(module, Unsized(data) if unsized else data, loader(2))
    return module


@pytest.mark.parametrize(
    ("share", "every"), [(0.05, 1), (0.15, 1), (0.25, 2), (0.3, 3), (0.33, 3), (0.5, 5), (0.99, 9), (1.0, 10)]
)
def test_a_share_of_an_epoch_is_rounded_down_to_batches(share: float, every: int) -> None:
    module = fit(val_check_interval=share, max_epochs=2)
    truth = [(epoch, done) for epoch in range(2) for done in range(every, 11, every)]
    assert module.validated_in_epoch == truth


@pytest.mark.parametrize("every", [1, 3, 4, 10])
def test_a_number_of_batches_counts_anew_in_every_epoch(every: int) -> None:
    module = fit(val_check_interval=every, max_epochs=2)
    assert module.validated_in_epoch == [(epoch, done) for epoch in range(2) for done in range(every, 11, every)]


@pytest.mark.parametrize(("every", "truth"), [(4, [4, 8, 12, 16, 20]), (15, [15]), (25, [])])
def test_a_number_of_batches_may_count_across_epochs(every: int, truth: list[int]) -> None:
    assert fit(val_check_interval=every, check_val_every_n_epoch=None, max_epochs=2).validated == truth


def test_counting_across_epochs_without_an_interval_means_their_ends() -> None:
    assert fit(3, check_val_every_n_epoch=None, max_epochs=2).validated == [3, 6]


@pytest.mark.parametrize(("every", "truth"), [(1, [0, 1, 2, 3, 4]), (2, [1, 3]), (3, [2]), (7, [])])
def test_epochs_between_validations(every: int, truth: list[int]) -> None:
    module = fit(2, check_val_every_n_epoch=every, max_epochs=5)
    assert [epoch for epoch, _ in module.validated_in_epoch] == truth


def test_batches_are_counted_and_not_optimizer_steps() -> None:
    assert fit(6, val_check_interval=3, accumulate_grad_batches=2).validated == [3, 6]


def test_data_that_does_not_tell_its_length_is_validated_at_its_end_or_by_number() -> None:
    assert fit(5, unsized=True, max_epochs=2).validated == [5, 10]
    assert fit(5, unsized=True, val_check_interval=2).validated == [2, 4]


@pytest.mark.parametrize(("every", "validated"), [(1, [1]), (2, [])])
def test_a_request_to_stop_validates_where_the_epoch_would_have(every: int, validated: list[int]) -> None:
    class Stopping(Noting):
        due: bool | None = None

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.trainer.should_stop = True
            return super().training_step(batch, batch_idx)

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.due = self.trainer.val_check_due

    module = Stopping()
    run = {"check_val_every_n_epoch": every, "max_epochs": 4, "num_sanity_val_steps": 0}
    trainer(**run).fit(module, loader(3), loader(1))
    assert (module.done, module.validated, module.due) == (1, validated, bool(validated))


@pytest.mark.parametrize("interval", [0.5, 4])
def test_when_validation_would_run_does_not_matter_where_there_is_none(interval: float | int) -> None:
    for data in (loader(3), Unsized(loader(3))):
        module = Noting()
        trainer(val_check_interval=interval, limit_val_batches=0).fit(module, data, loader(1))
        assert (module.done, module.validated) == (3, [])


def test_a_share_of_an_unknown_length_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"val_check_interval=0.5.*does not tell its length"):
        fit(5, unsized=True, val_check_interval=0.5)


def test_an_interval_longer_than_an_epoch_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"an epoch has 3 training batches only.*check_val_every_n_epoch=None"):
        fit(3, val_check_interval=4)


def test_time_between_validations(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("fulmen_core.loop._clock.time.monotonic", lambda: now[0])

    class Slow(Noting):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            now[0] += 4.0
            return super().training_step(batch, batch_idx)

    module = Slow()
    trainer(val_check_interval=timedelta(seconds=10), num_sanity_val_steps=0).fit(module, loader(8), loader(1))
    assert module.validated == [3, 6]  # after 12 and 24 seconds


def test_time_may_run_across_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("fulmen_core.loop._clock.time.monotonic", lambda: now[0])

    class Slow(Noting):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            now[0] += 4.0
            return super().training_step(batch, batch_idx)

    module = Slow()
    run = {"val_check_interval": "00:00:00:10", "check_val_every_n_epoch": None, "max_epochs": 4}
    trainer(num_sanity_val_steps=0, **run).fit(module, loader(2), loader(1))
    assert module.validated == [3, 6]


@pytest.mark.parametrize(("limit", "batches"), [(1, 1), (0.5, 1), (1.0, 2), (5, 2), (None, 2)])
def test_the_batches_of_a_validation_may_be_limited(limit: Any, batches: int) -> None:
    assert fit(1, limit_val_batches=limit).batches == batches


@pytest.mark.parametrize("limit", [0, 0.0])
def test_validation_may_be_switched_off(limit: Any) -> None:
    module = fit(2, limit_val_batches=limit, num_sanity_val_steps=2)
    assert (module.batches, module.validated) == (0, [])


@pytest.mark.parametrize(("steps", "batches"), [(0, 0), (1, 1), (2, 2), (5, 2), (-1, 2), (None, 2)])
def test_the_sanity_check_takes_as_many_batches_as_there_are(steps: int | None, batches: int) -> None:
    class Sane(Noting):
        sane = 0

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.sane += self.trainer.sanity_checking

    module = Sane()
    trainer(num_sanity_val_steps=steps).fit(module, loader(1), loader(2))
    assert module.sane == batches


def test_the_sanity_check_is_limited_as_validation_is() -> None:
    class Sane(Noting):
        sane = 0

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.sane += self.trainer.sanity_checking

    module = Sane()
    trainer(num_sanity_val_steps=2, limit_val_batches=1).fit(module, loader(1), loader(2))
    assert module.sane == 1


def test_several_loaders_are_checked_and_validated_each() -> None:
    class Several(Line):
        seen: ClassVar[list[tuple[bool, int, int]]] = []

        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
            self.seen.append((self.trainer.sanity_checking, dataloader_idx, batch_idx))

    trainer(num_sanity_val_steps=1).fit(Several(), loader(1), [loader(2), loader(1)])
    assert Several.seen == [(True, 0, 0), (True, 1, 0), (False, 0, 0), (False, 0, 1), (False, 1, 0)]


@settings(max_examples=200, deadline=None)
@given(
    batches=st.integers(1, 12),
    interval=st.one_of(st.integers(1, 12), st.fractions(0, 1, max_denominator=100).filter(bool)),
    every_n=st.sampled_from([1, 2, 3]),
    epochs=st.integers(1, 4),
)
def test_the_clock_agrees_with_arithmetic(batches: int, interval: int | Fraction, every_n: int, epochs: int) -> None:
    progress = FitProgress()
    every = interval if isinstance(interval, int) else max(1, int(batches * interval))  # exactly, as it was meant
    interval = float(interval) if isinstance(interval, Fraction) else interval
    if isinstance(interval, int) and interval > batches:
        with pytest.raises(ConfigurationError):
            ValidationClock(interval=interval, every_n_epochs=every_n, num_batches=batches, progress=progress)
        return
    clock = ValidationClock(interval=interval, every_n_epochs=every_n, num_batches=batches, progress=progress)
    for epoch in range(epochs):
        progress.begin_epoch()
        for done in range(1, batches + 1):
            progress.batches.processed = done
            progress.is_last_batch = done == batches
            assert clock.due() == ((epoch + 1) % every_n == 0 and done % every == 0)
        progress.end_epoch()
