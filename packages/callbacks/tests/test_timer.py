"""How long stages take, and when the time is up."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from simulated_fit import SimulatedFit

from fulmen_callbacks import Timer, _agreed, _timer
from fulmen_interfaces import CALLBACKS, CallbackRole, Catalogue, ConfigurationError, RunningStage, World


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_timer, "time", clock)
    monkeypatch.setattr(_agreed, "time", clock)
    return clock


def ticking(clock: Clock, *, hook: str = "batch", seconds: float = 1.0) -> Any:
    def after(name: str) -> None:
        if name == hook:
            clock.now += seconds

    return after


def test_trainers_find_it_by_its_role() -> None:
    found = Catalogue.installed().find(CALLBACKS, "timer")
    assert found.spec.role is CallbackRole.TIMER
    timer = found.create(duration=datetime.timedelta(seconds=7), interval="epoch", verbose=False)
    assert timer.time_remaining() == 7


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("00:01:00:05", 3605),
        ("10:00:00:00", 864000),
        ({"days": 1, "hours": 2}, 93600),
        (datetime.timedelta(minutes=3), 180),
        ("12 h", 43200),
        (None, None),
    ],
)
def test_durations(duration: Any, seconds: float | None) -> None:
    assert Timer(duration).time_remaining() == seconds


@pytest.mark.parametrize("duration", ["01:02", "x", 5, "1:00:00", {"hour": 2}, "2 epochs"])
def test_what_is_no_duration_is_refused(duration: Any) -> None:
    with pytest.raises(ConfigurationError, match="days:hours:minutes:seconds"):
        Timer(duration)


def test_intervals_are_two() -> None:
    with pytest.raises(ConfigurationError, match="'step', 'epoch'"):
        Timer("00:00:00:01", interval="batch")


@pytest.mark.parametrize(("interval", "step"), [("step", 6), ("epoch", 8)])
def test_training_stops_when_the_time_is_up(
    interval: str, step: int, clock: Clock, make_trainer: Any, module: Any
) -> None:
    timer = Timer("00:00:00:05", interval=interval)
    trainer = make_trainer()
    SimulatedFit(trainer, module, timer, after=ticking(clock)).run()
    assert trainer.global_step == step
    assert timer.time_elapsed() == step
    assert timer.time_remaining() == 5 - step


def test_time_goes_on_after_a_restart(clock: Clock, make_trainer: Any, module: Any) -> None:
    first = Timer("00:00:00:10")
    SimulatedFit(make_trainer(), module, first, max_epochs=2, after=ticking(clock)).run()
    state = first.state_dict()
    assert state == {"time_elapsed": {"train": 8, "sanity_check": 0, "validate": 0, "test": 0, "predict": 0}}
    clock.now += 1000
    second = Timer("00:00:00:10")
    trainer = make_trainer()
    start = {"global_step": 8, "callbacks": {second.state_key: state}}
    SimulatedFit(trainer, module, second, after=ticking(clock)).run(start)
    assert trainer.global_step == 8 + 3
    assert second.time_elapsed() == 11

    third = Timer("00:00:00:10")
    third.load_state_dict(second.state_dict())
    trainer = make_trainer()
    third.on_fit_start(trainer, module)
    assert trainer.should_stop


def test_stages_are_measured_apart(clock: Clock, make_trainer: Any, module: Any) -> None:
    timer, trainer = Timer(), make_trainer()
    assert timer.start_time() is None
    timer.on_validation_start(trainer, module)
    clock.now += 3
    timer.on_validation_end(trainer, module)
    clock.now += 4
    timer.on_test_start(trainer, module)
    clock.now += 5
    assert timer.time_elapsed("validate") == 3
    assert timer.time_elapsed(RunningStage.TESTING) == 5
    assert timer.time_elapsed() == 0
    assert (timer.start_time("validate"), timer.end_time("validate")) == (50, 53)
    assert timer.end_time("test") is None
    assert timer.time_remaining() is None


def test_all_ranks_stop_in_the_same_batch(make_trainer: Any, module: Any, in_ranks: Any) -> None:
    def fit(rank: int, collectives: Any) -> int:
        timer = Timer(datetime.timedelta(0) if rank == 0 else datetime.timedelta(days=1))
        trainer = make_trainer(world=World(rank=rank, size=2), collectives=collectives)
        SimulatedFit(trainer, module, timer).run()
        return int(trainer.global_step)

    assert in_ranks(2, fit) == [1, 1]


def test_several_ranks_ask_each_other_about_once_a_second(
    clock: Clock, make_trainer: Any, module: Any, in_ranks: Any
) -> None:
    def fit(rank: int, collectives: Any) -> tuple[int, int]:
        interval = _agreed.AgreedInterval(3.0)
        trainer = make_trainer(world=World(rank=rank, size=2), collectives=collectives)
        for step in range(10_000):
            if rank == 0:
                clock.now += 0.001
            if interval.has_passed(trainer):
                return step, collectives.broadcasts
        return -1, -1

    (zero, asked), (one, _) = in_ranks(2, fit)
    assert zero == one
    assert zero == pytest.approx(3000, rel=0.05)
    assert asked < 30


def test_every_fit_has_all_of_the_time(clock: Clock, make_trainer: Any, module: Any) -> None:
    timer = Timer("00:00:00:05")
    for _ in range(2):
        trainer = make_trainer()
        SimulatedFit(trainer, module, timer, after=ticking(clock)).run()
        assert trainer.global_step == 6
    trainer = make_trainer()
    timer.setup(trainer, module, "fit")
    timer.on_fit_start(trainer, module)
    assert not trainer.should_stop
    timer.load_state_dict({"time_elapsed": {"train": 5.0}})
    timer.on_fit_start(trainer, module)
    assert trainer.should_stop
