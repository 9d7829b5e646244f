"""Logged values reduced over processes. Two threads play two ranks; what they exchange is really exchanged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
import torch
from kernel_cases import rounded

from fulmen_core.logging import Recorder, Results
from fulmen_interfaces import Hook, ReduceOp

T = TypeVar("T")
REDUCTIONS = {
    ReduceOp.MEAN: lambda stack: stack.mean(0),
    ReduceOp.SUM: lambda stack: stack.sum(0),
    ReduceOp.MIN: lambda stack: stack.amin(0),
    ReduceOp.MAX: lambda stack: stack.amax(0),
}


class Meeting:
    """Where the ranks bring their values and take all."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=20)
        self.brought: dict[int, Any] = {}
        self.collectives = [RankCollectives(self, rank) for rank in range(size)]

    def exchange(self, rank: int, value: Any) -> list[Any]:
        self.brought[rank] = value
        self.barrier.wait()
        everything = [self.brought[each] for each in sorted(self.brought)]
        self.barrier.wait()
        return everything


class RankCollectives:
    """The collectives of one rank. `calls` holds the exchanges of the run's group, `reductions` those of others."""

    def __init__(self, meeting: Meeting, rank: int) -> None:
        self.meeting = meeting
        self.rank = rank
        self.calls: list[str] = []
        self.reductions: list[tuple[ReduceOp, int, Any]] = []

    def all_reduce(self, tensor: torch.Tensor, op: ReduceOp = ReduceOp.MEAN, *, group: Any = None) -> torch.Tensor:
        self.reductions.append((op, tensor.numel(), group))
        return REDUCTIONS[op](torch.stack(self.meeting.exchange(self.rank, tensor)))

    def gather_objects(self, value: T) -> list[T]:
        self.calls.append("gather_objects")
        return self.meeting.exchange(self.rank, value)

    def all_gather(self, tensor: torch.Tensor, *, group: Any = None, sync_grads: bool = False) -> torch.Tensor:
        self.calls.append("all_gather")
        return torch.stack(self.meeting.exchange(self.rank, tensor))

    def broadcast(self, value: T, src: int = 0) -> T:
        return self.meeting.exchange(self.rank, value)[src]

    def barrier(self, name: str = "") -> None:
        self.meeting.barrier.wait()


class Rank:
    """What one rank logs."""

    def __init__(self, collectives: RankCollectives) -> None:
        self.collectives = collectives
        self.recorder = Recorder()
        self.results = Results()
        self.recorder.scope = self.recorder.scope_of(Hook.TRAINING_STEP, self.recorder.training)

    def log(self, name: str, value: Any, *, batch_size: int = 1, **options: Any) -> None:
        wanted = {"on_step": False, "on_epoch": True, "reduce_fx": "mean", "sync_dist": True, **options}
        self.recorder.log(
            name,
            value,
            prog_bar=False,
            logger=True,
            enable_graph=False,
            sync_dist_group=wanted.pop("group", None),
            add_dataloader_idx=True,
            batch_size=batch_size,
            metric_attribute=None,
            rank_zero_only=wanted.pop("rank_zero_only", False),
            **wanted,
        )

    def epoch(self) -> dict[str, float]:
        self.results.publish_epoch(self.recorder.training, self.collectives)
        return rounded(self.results.callback_metrics(self.recorder.training))

    def step(self) -> dict[str, float]:
        return rounded(self.results.take_step(self.recorder.training, self.collectives))


def on_two_ranks(act: Callable[[Rank, int], T]) -> tuple[T, T, Meeting]:
    meeting = Meeting(2)
    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(act, Rank(one), one.rank) for one in meeting.collectives]
        first, second = (task.result() for task in tasks)
    return first, second, meeting


@pytest.mark.parametrize("as_tensor", [False, True])
def test_epoch_values_are_those_of_all_samples_of_all_ranks(as_tensor: bool) -> None:
    def act(rank: Rank, number: int) -> dict[str, float]:
        for value, size in [[(1.0, 4), (2.0, 1)], [(10.0, 2)]][number]:
            for name in ("mean", "sum", "min", "max"):
                rank.log(name, torch.tensor(value) if as_tensor else value, batch_size=size, reduce_fx=name)
        return rank.epoch()

    first, second, meeting = on_two_ranks(act)
    assert first == second == {"mean": round((4 + 2 + 20) / 7, 5), "sum": 13.0, "min": 1.0, "max": 10.0}
    assert meeting.collectives[0].calls == ["gather_objects"]


def test_many_metrics_are_one_exchange() -> None:
    def act(rank: Rank, number: int) -> dict[str, float]:
        for name in range(20):
            rank.log(f"m{name}", float(name + number))
        return rank.epoch()

    first, _, meeting = on_two_ranks(act)
    assert first == {f"m{name}": name + 0.5 for name in range(20)}
    assert meeting.collectives[0].calls == ["gather_objects"]


@pytest.mark.parametrize(("count", "exchanges"), [(0, 1), (20, 1), (200, 2)])
def test_step_values_of_all_kinds_are_one_exchange(count: int, exchanges: int) -> None:
    """A second one follows where they do not fit into the first."""
    kinds = ("mean", "sum", "min", "max")

    def act(rank: Rank, number: int) -> dict[str, float]:
        for name in range(count):
            rank.log(f"m{name}", float(name + number), on_step=True, on_epoch=False, reduce_fx=kinds[name % 4])
        return rank.step()

    first, second, meeting = on_two_ranks(act)
    truths = (lambda n: n + 0.5, lambda n: 2 * n + 1, lambda n: n, lambda n: n + 1)
    assert first == second == {f"m{name}": float(truths[name % 4](name)) for name in range(count)}
    assert meeting.collectives[0].calls == ["all_gather"] * exchanges


def test_ranks_need_not_log_the_same() -> None:
    def act(rank: Rank, number: int) -> list[dict[str, float]]:
        rank.log("both", float(number), on_step=True)
        rank.log(f"only_{number}", 5.0 + number, on_step=True)
        if number == 1:
            rank.log("least", 7.0, reduce_fx="min")
        return [rank.step(), rank.epoch()]

    (step, epoch), (step_there, epoch_there), _ = on_two_ranks(act)
    assert step == {"both_step": 0.5, "only_0_step": 5.0}
    assert step_there == {"both_step": 0.5, "only_1_step": 6.0}
    for found in (epoch, epoch_there):
        assert (found["both"], found["only_0"], found["only_1"], found["least"]) == (0.5, 5.0, 6.0, 7.0)


def test_host_numbers_travel_in_double_precision() -> None:
    exact = 1.0 + 2.0**-40

    def act(rank: Rank, number: int) -> float:
        rank.log("x", torch.tensor(exact, dtype=torch.float64))
        rank.results.publish_epoch(rank.recorder.training, rank.collectives)
        return rank.results.callback_metrics(rank.recorder.training)["x"].item()

    first, second, _ = on_two_ranks(act)
    assert first == second == exact


def test_values_that_are_not_to_be_reduced_stay_each_rank_s_own() -> None:
    def act(rank: Rank, number: int) -> dict[str, float]:
        rank.log("own", float(number), sync_dist=False)
        rank.log("zero", float(number), rank_zero_only=True)
        return rank.epoch()

    first, second, meeting = on_two_ranks(act)
    assert (first, second) == ({"own": 0.0, "zero": 0.0}, {"own": 1.0, "zero": 1.0})
    assert meeting.collectives[0].reductions == []


def test_a_function_of_one_s_own_gets_the_values_of_all_ranks() -> None:
    def act(rank: Rank, number: int) -> dict[str, float]:
        for value in [[1.0, 2.0], [3.0, 4.0, 5.0]][number]:
            rank.log("median", value, reduce_fx=torch.median)
        return rank.epoch()

    first, second, _ = on_two_ranks(act)
    assert first == second == {"median": 3.0}


@pytest.mark.parametrize(("name", "truth"), [("mean", 1.5), ("sum", 3.0), ("min", 1.0), ("max", 2.0)])
def test_step_values_are_reduced_when_they_are_written(name: str, truth: float) -> None:
    def act(rank: Rank, number: int) -> tuple[dict[str, float], dict[str, float]]:
        rank.log("x", float(number + 1), on_step=True, on_epoch=False, reduce_fx=name)
        rank.log("own", float(number), on_step=True, on_epoch=False, sync_dist=False)
        return rank.step(), rounded(rank.results.callback_metrics(rank.recorder.training))

    (written, seen), (_, seen_there), meeting = on_two_ranks(act)
    assert written == {"x": truth, "own": 0.0}
    assert seen == {"x": truth, "own": 0.0}
    assert seen_there == {"x": truth, "own": 1.0}
    assert meeting.collectives[0].calls == ["all_gather"]


def test_values_are_reduced_within_the_group_that_was_named() -> None:
    def act(rank: Rank, number: int) -> dict[str, float]:
        rank.log("x", float(number), group="mine")
        rank.log("y", float(number))
        return rank.epoch()

    _, _, meeting = on_two_ranks(act)
    assert [group for _, _, group in meeting.collectives[0].reductions] == ["mine"]


def test_the_next_epoch_begins_anew_on_every_rank() -> None:
    def act(rank: Rank, number: int) -> list[dict[str, float]]:
        seen = []
        for epoch in range(2):
            rank.log("x", 10.0 * epoch + number, batch_size=number + 1)
            seen.append(rank.epoch())
        return seen

    first, second, _ = on_two_ranks(act)
    assert first == second == [{"x": round(2 / 3, 5)}, {"x": round(10 + 2 / 3, 5)}]
