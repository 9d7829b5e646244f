"""Ranks that differ in what they read, ask for or log train together; weights are held against plain loops."""

from __future__ import annotations

from typing import Any

import pytest
import together_program as program
import torch
from torch import Tensor

from fulmen_testing import assert_weights_close, run_program


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two ranks wrote."""
    ran = run_program(program.__file__, tmp_path_factory.mktemp("together"))
    assert "an epoch ends after" not in ran.stderr  # nobody can know lengths that are not told
    assert "The epoch ends after 4 training batches, for 1 of 2 ranks have no more" in ran.stderr
    return ran.ranks


def batches_of(rank: int, count: int) -> list[tuple[Tensor, Tensor]]:
    features = program.Stream(rank, 2 * count).features
    return [(features[start : start + 2], features[start : start + 2].sum(1)) for start in range(0, 2 * count, 2)]


def loss_of(module: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
    features, targets = batch
    loss: Tensor = (module.head(torch.tanh(module.body(features))).squeeze(1) - targets).pow(2).mean()
    return loss


def plain_weights(counts: tuple[int, int], batches: int, *, window: int, epochs: int) -> dict[str, list[float]]:
    """Train in one process on what the ranks that still have data read at the same time."""
    torch.manual_seed(0)
    module = program.Uneven()
    optimizer = module.configure_optimizers()
    data = [batches_of(rank, count) for rank, count in enumerate(counts)]
    for _ in range(epochs):
        for first in range(0, batches, window):
            numbers = range(first, min(first + window, batches))
            optimizer.zero_grad()
            for number in numbers:
                present = [loss_of(module, of_rank[number]) for of_rank in data if number < len(of_rank)]
                (sum(present[1:], present[0]) / len(present) / len(numbers)).backward()
            optimizer.step()
    weights: dict[str, list[float]] = program.weights(module)
    return weights


@pytest.mark.parametrize(("policy", "batches"), [("stop", 4), ("zero_weight", 6)])
def test_gradients_are_means_over_the_ranks_that_have_data(
    ranks: list[dict[str, Any]], policy: str, batches: int
) -> None:
    expected = plain_weights(program.COUNTS, batches, window=2, epochs=2)
    for rank in ranks:
        assert_weights_close(rank[policy]["weights"], expected)
        assert rank[policy]["steps"] == batches
        assert rank[policy]["validated"] == list(range(1, batches + 1))  # after every other batch


@pytest.mark.parametrize("policy", ["stop", "zero_weight"])
def test_a_run_goes_on_from_a_checkpoint_of_the_middle(ranks: list[dict[str, Any]], policy: str) -> None:
    for rank in ranks:
        assert rank[policy]["rest"] == rank[policy]["weights"]
        assert rank[policy]["metrics_of_rest"] == rank[policy]["metrics"]


def test_what_is_repeated_is_not_counted(ranks: list[dict[str, Any]]) -> None:
    means = [[number + 0.5 for number in range(0, 2 * count, 2)] for count in program.COUNTS]
    for rank in ranks:
        found = rank["zero_weight"]["metrics"]
        mean = sum(map(sum, means)) / sum(program.COUNTS)
        assert [found["number"], found["metric"]] == pytest.approx([mean] * 2)
    assert ranks[0]["zero_weight"]["seen"][3:6] == [[6, 7]] * 3


def test_a_rank_without_data_takes_part(ranks: list[dict[str, Any]]) -> None:
    expected = plain_weights((0, 3), 3, window=1, epochs=1)
    for rank in ranks:
        assert_weights_close(rank["without_data"]["weights"], expected)
        assert rank["without_data"]["seen"] == 3


def test_all_ranks_stop_with_the_one_that_was_asked_to(ranks: list[dict[str, Any]]) -> None:
    for case in ("stop_in_step", "stop_everywhere", "stop_at_epoch_end"):
        first, second = (rank[case] for rank in ranks)
        assert first == second, case
    assert 4 <= ranks[0]["stop_in_step"]["steps"] <= 6
    assert ranks[0]["stop_everywhere"]["steps"] == 3
    assert 20 <= ranks[0]["stop_at_epoch_end"]["steps"] <= 22


def test_all_ranks_leave_out_the_rest_of_an_epoch_with_the_one_that_asks_for_it(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert (rank["skip"]["steps"], rank["skip"]["epochs"]) == (4, 2)


def test_validation_by_the_clock_begins_in_the_same_batch_on_all_ranks(ranks: list[dict[str, Any]]) -> None:
    assert ranks[0]["clock"] == ranks[1]["clock"]
    assert ranks[0]["clock"]


def test_ranks_may_log_different_things(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        found = rank["talking"]["metrics"]
        assert found["both_epoch"] == 0.5
        assert found["zero_epoch"] == 5.0
        assert found["one_epoch"] == 7.0
        assert found["metric"] == 3.0
    assert {"both_step", "zero_step", "both_epoch", "zero_epoch", "one_epoch", "metric"} <= set(
        ranks[0]["talking"]["logged"]
    )
