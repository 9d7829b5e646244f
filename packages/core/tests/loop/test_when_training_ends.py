"""How long a fit lasts: epochs, steps, minimums, requests to stop, and epochs that are cut short."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import Line, Unsized, loader, trainer

from fulmen_interfaces import Callback, ConfigurationError

pytestmark = pytest.mark.filterwarnings("ignore:.*nothing is validated")


class Counting(Line):
    """Keeps (epoch, batch) of every training step and of every validation; asks to stop at one of them."""

    stop_at: tuple[int, int] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[int, int]] = []
        self.validations: list[tuple[int, int]] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.steps.append((self.current_epoch, batch_idx))
        if self.steps[-1] == self.stop_at:
            self.trainer.should_stop = True
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.validations.append(self.steps[-1] if self.steps else (-1, -1))


def fit(batches: Any = 3, *, stop_at: tuple[int, int] | None = None, **run: Any) -> tuple[Counting, Any]:
    module = Counting()
    module.stop_at = stop_at
    fitted = trainer(num_sanity_val_steps=0, **run)
    fitted.fit(module, loader(batches) if isinstance(batches, int) else batches, loader(1))
    return module, fitted


def counts(fitted: Any) -> tuple[int, int]:
    return fitted.current_epoch, fitted.global_step


def test_max_epochs() -> None:
    module, fitted = fit(max_epochs=2)
    assert module.steps == [(epoch, batch) for epoch in range(2) for batch in range(3)]
    assert counts(fitted) == (2, 6)


def test_max_steps_may_end_within_an_epoch_and_then_does_not_validate() -> None:
    module, fitted = fit(max_epochs=-1, max_steps=5)
    assert module.steps[-1] == (1, 1)
    assert module.validations == [(0, 2)]
    assert fitted.global_step == 5


def test_max_steps_counts_optimizer_steps() -> None:
    module, fitted = fit(5, max_epochs=-1, max_steps=4, accumulate_grad_batches=2)
    assert len(module.steps) == 7  # windows of 2, 2, 1 and 2 batches
    assert fitted.global_step == 4


def test_whichever_limit_comes_first_ends_training() -> None:
    assert counts(fit(max_epochs=2, max_steps=100)[1]) == (2, 6)
    assert counts(fit(max_epochs=100, max_steps=4)[1])[1] == 4


@pytest.mark.parametrize("run", [{"max_epochs": 0}, {"max_steps": 0}, {"limit_train_batches": 0}])
def test_nothing_is_trained_where_nothing_was_asked_for(run: dict[str, Any]) -> None:
    class Told(Counting):
        hooks: ClassVar[list[str]] = []

        def on_fit_start(self) -> None:
            self.hooks.append("on_fit_start")

        def on_train_start(self) -> None:
            self.hooks.append("on_train_start")

        def on_fit_end(self) -> None:
            self.hooks.append("on_fit_end")

    Told.hooks = []
    module = Told()
    fitted = trainer(**run)
    fitted.fit(module, loader(3), loader(1))
    assert (module.steps, Told.hooks, counts(fitted)) == ([], ["on_fit_start", "on_fit_end"], (0, 0))
    assert fitted.state.finished


def test_a_request_to_stop_ends_training_after_the_batch_and_its_validation() -> None:
    module, fitted = fit(stop_at=(0, 0), max_epochs=5)
    assert module.steps == [(0, 0)]
    assert module.validations == [(0, 0)]
    assert fitted.global_step == 1
    assert fitted.should_stop


@pytest.mark.parametrize(
    ("run", "steps"),
    [
        ({"min_epochs": 2}, 6),
        ({"min_steps": 5}, 5),  # within an epoch
        ({"min_steps": 2}, 3),  # min_steps asks for a whole epoch, too
        ({"min_steps": 3}, 3),
        ({"min_epochs": 1, "min_steps": 4}, 4),
        ({"min_epochs": 3, "min_steps": 4}, 9),
    ],
)
def test_a_request_to_stop_waits_for_the_least_that_was_asked_for(run: dict[str, Any], steps: int) -> None:
    module, fitted = fit(stop_at=(0, 0), max_epochs=5, **run)
    assert fitted.global_step == len(module.steps) == steps


def test_a_window_that_is_open_at_a_request_to_stop_is_not_stepped() -> None:
    module, fitted = fit(stop_at=(0, 0), accumulate_grad_batches=2)
    assert (len(module.steps), fitted.global_step) == (1, 0)


def test_a_least_beyond_the_most_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_epochs=2 ends training before 3 epochs"):
        trainer(max_epochs=2, min_epochs=3)


def test_a_callback_may_end_training_by_the_clock() -> None:
    class Alarm(Callback):
        """What a timer does, with a limit that is over at once."""

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.end = time.monotonic() - 1

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if time.monotonic() > self.end:
                trainer.should_stop = True

    _, fitted = fit(max_epochs=-1, max_steps=10**6, callbacks=[Alarm()])
    assert fitted.global_step == 1


def test_max_time_without_a_timer_is_refused_with_what_brings_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from fulmen_core.trainer import _components

    monkeypatch.setattr(_components, "_default", lambda *args, **kwargs: None)
    with pytest.raises(ConfigurationError, match=r"max_time=.*No callback that keeps time.*pip install"):
        trainer(max_time="00:00:01:00")


def test_without_any_end_a_warning_names_the_default() -> None:
    class Stopping(Counting):
        stop_at = (0, 0)

    fitted = trainer(max_epochs=None)
    assert fitted.max_epochs == 1000
    module = Stopping()
    with pytest.warns(UserWarning, match="after 1000 epochs"):
        fitted.fit(module, loader(1))


@pytest.mark.parametrize("at", [0, 1])
def test_minus_one_at_a_batch_start_leaves_out_the_rest_of_the_epoch(at: int) -> None:
    class Skipping(Counting):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if batch_idx == at else None

    module = Skipping()
    fitted = trainer(max_epochs=2, num_sanity_val_steps=0)
    fitted.fit(module, loader(3), loader(1))
    assert module.steps == [(epoch, batch) for epoch in range(2) for batch in range(at)]
    assert module.validations == []
    assert counts(fitted) == (2, 2 * at)


def test_the_batch_that_leaves_out_the_rest_is_the_last_of_its_epoch() -> None:
    class Skipping(Counting):
        seen: ClassVar[list[bool]] = []

        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            self.seen.append(self.trainer.is_last_batch)
            return -1 if batch_idx == 1 else None

        def on_train_epoch_end(self) -> None:
            self.seen.append(self.trainer.is_last_batch)

    Skipping.seen = []
    trainer(max_epochs=2).fit(Skipping(), loader(3))
    assert Skipping.seen == [False, False, True] * 2


class Saving(Line):
    """Writes a checkpoint after a batch; none by itself."""

    at: tuple[int, int] | None = None
    path = ""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (self.current_epoch, batch_idx) == self.at:
            self.trainer.save_checkpoint(self.path)


def checkpoint(folder: Any, *, at: tuple[int, int] | None = None) -> str:
    """Return a checkpoint of a fit of three epochs with two batches each: written there, or behind the end."""
    module, fitted = Saving(), trainer(max_epochs=3)
    module.at, module.path = at, str(folder / "a.ckpt")
    fitted.fit(module, loader(2))
    if at is None:
        fitted.save_checkpoint(module.path)
    return module.path


@pytest.mark.parametrize(("at", "remedy"), [(None, "Give 4 or more"), ((2, 0), "Give 3 or more")])
def test_a_checkpoint_beyond_max_epochs_is_refused_with_how_many_would_do(
    tmp_path: Any, at: tuple[int, int] | None, remedy: str
) -> None:
    path = checkpoint(tmp_path, at=at)
    module = Counting()
    with pytest.raises(ConfigurationError, match=remedy) as caught:
        trainer(max_epochs=2).fit(module, loader(2), ckpt_path=path)
    assert [problem.argument for problem in caught.value.problems] == ["max_epochs"]
    assert module.steps == []


@pytest.mark.parametrize("limit", [{"max_epochs": 3}, {"max_steps": 6, "max_epochs": -1}])
def test_a_checkpoint_that_leaves_nothing_to_train_says_so(tmp_path: Any, limit: dict[str, int]) -> None:
    path = checkpoint(tmp_path)
    module = Counting()
    name, value = next(iter(limit.items()))
    with pytest.warns(UserWarning, match=f"Nothing is left to train.*{name}={value}"):
        trainer(**limit).fit(module, loader(2), ckpt_path=path)
    assert module.steps == []


def test_other_values_at_a_batch_start_mean_nothing() -> None:
    class Returning(Counting):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> Any:
            return False

    class Minus(Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> Any:
            return -1

    module = Returning()
    trainer(callbacks=[Minus()]).fit(module, loader(2))
    assert len(module.steps) == 2


def test_an_epoch_that_was_cut_drops_its_open_window() -> None:
    class Cut(Counting):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if batch_idx == 1 else None

    module = Cut()
    before = module.layer.weight.detach().clone()
    fitted = trainer(max_epochs=2, accumulate_grad_batches=2)
    fitted.fit(module, loader(3))
    assert fitted.global_step == 0
    assert (module.layer.weight == before).all()


@settings(max_examples=25, deadline=None)
@given(
    batches=st.integers(1, 4),
    max_epochs=st.integers(0, 3),
    max_steps=st.sampled_from([-1, 0, 1, 2, 5]),
    accumulate=st.integers(1, 3),
    sized=st.booleans(),
)
def test_the_counters_agree_with_arithmetic(
    batches: int, max_epochs: int, max_steps: int, accumulate: int, sized: bool
) -> None:
    data = loader(batches) if sized else Unsized(loader(batches))
    module, fitted = fit(data, max_epochs=max_epochs, max_steps=max_steps, accumulate_grad_batches=accumulate)
    per_epoch = -(-batches // accumulate)
    steps = per_epoch * max_epochs if max_steps == -1 else min(max_steps, per_epoch * max_epochs)
    assert fitted.global_step == steps
    whole, rest = divmod(steps, per_epoch)
    assert len(module.steps) == whole * batches + rest * accumulate
    assert len(module.validations) == whole
    if max_epochs and max_steps == -1:
        assert fitted.current_epoch == max_epochs
