"""Runs over two processes, held against plain loops over the union of what both ranks read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ddp_program as program
import pytest
import torch
from torch import Tensor, nn

from fulmen_testing import assert_weights_close, run_program


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two ranks wrote, started by the program itself."""
    return run_program(program.__file__, tmp_path_factory.mktemp("ddp")).ranks


Loss = Callable[[Any, tuple[Tensor, ...], int], Tensor]


def plain_loop(
    module: Any,
    *,
    epochs: int = 2,
    window: int = 1,
    loss: Loss | None = None,
) -> dict[str, list[float]]:
    """Train on one process on batches of six: what two ranks read three each of."""
    optimizer = module.configure_optimizers()
    compute = loss or (lambda model, batch, _: model.loss(batch))
    data = program.samples(24).tensors
    for _ in range(epochs):
        optimizer.zero_grad()
        for number in range(4):
            batch = tuple(values[6 * number : 6 * number + 6] for values in data)
            size = min(window, 4 - number // window * window)
            (compute(module, batch, number) / size).backward()
            if (number + 1) % window == 0 or number == 3:
                optimizer.step()
                optimizer.zero_grad()
    return program.weights(module)


def on_rank_zero(kind: str) -> Any:
    torch.manual_seed(0)
    return getattr(program, kind)()


def test_two_ranks_train_as_one_process_on_both_batches(ranks: list[dict[str, Any]]) -> None:
    expected = plain_loop(on_rank_zero("Regression"))
    for rank in ranks:
        assert_weights_close(rank["plain"], expected)
    assert ranks[0]["plain"] == ranks[1]["plain"]


def test_gradients_of_steps_by_hand_are_averaged_too(ranks: list[dict[str, Any]]) -> None:
    assert_weights_close(ranks[1]["by_hand"], plain_loop(on_rank_zero("ByHand")))


def test_parameters_may_be_unused_where_that_was_asked_for(ranks: list[dict[str, Any]]) -> None:
    def loss(model: Any, batch: tuple[Tensor, ...], number: int) -> Tensor:
        head: nn.Module = model.head if number % 2 else model.other
        return (head(torch.tanh(model.body(batch[1]))).squeeze(1) - batch[2]).pow(2).mean()

    assert_weights_close(ranks[1]["two_heads"], plain_loop(on_rank_zero("TwoHeads"), loss=loss))


def test_gradients_travel_once_per_accumulation_window(ranks: list[dict[str, Any]]) -> None:
    expected = plain_loop(on_rank_zero("Regression"), epochs=1, window=3)
    for rank in ranks:
        assert_weights_close(rank["accumulation"]["weights"], expected)
        assert rank["accumulation"]["calls"] == 2  # four batches: windows of three and of one


def test_shuffled_epochs_cover_the_data_with_as_many_batches_on_every_rank(ranks: list[dict[str, Any]]) -> None:
    first, second = (rank["shuffling"] for rank in ranks)
    assert first["batches"] == second["batches"] == 3
    rounds = [first["seen"][start : start + 3] + second["seen"][start : start + 3] for start in (0, 3)]
    epochs = [[number for batch in batches for number in batch] for batches in rounds]
    for seen in epochs:
        assert len(seen) == 12  # eleven samples, one of them twice
        assert set(seen) == set(range(11))
    assert epochs[0] != epochs[1]
    assert epochs[0] != sorted(epochs[0])


@pytest.mark.parametrize("size", range(1, 10))
def test_every_sample_is_evaluated_once(ranks: list[dict[str, Any]], size: int) -> None:
    parts = [rank["evaluation"][str(size)] for rank in ranks]
    seen = [number for part in parts for batch in part["seen"] for number in batch]
    predicted = [number for part in parts for batch in part["predicted"] or [] for number in batch]
    assert sorted(seen) == sorted(predicted) == list(range(size))
    for part in parts:
        (values,) = part["results"]
        assert values["mean"] == pytest.approx((size - 1) / 2)
        assert values["least"] == 0


def test_each_rank_keeps_what_is_not_reduced_and_rank_zero_writes(ranks: list[dict[str, Any]]) -> None:
    parts = [rank["evaluation"]["4"] for rank in ranks]
    assert [part["results"][0]["own_epoch"] for part in parts] == [0.0, 2.0]
    assert [part["logged"] for part in parts] == [True, False]


def test_data_is_left_alone_where_that_was_asked_for(ranks: list[dict[str, Any]]) -> None:
    assert [rank["everything"]["seen"] for rank in ranks] == [[[0, 1], [2, 3]]] * 2


def test_a_run_goes_on_from_its_checkpoint_to_the_same_weights(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        resuming = rank["resuming"]
        assert resuming["rest"] == resuming["whole"]
        whole, rest = resuming["seen"]
        assert len(whole) == 8
        assert rest == whole[5:]
    assert ranks[0]["resuming"]["rest"] == ranks[1]["resuming"]["rest"]
