"""What DDP can do beside averaging gradients, held against plain loops."""

from __future__ import annotations

from typing import Any

import features_program as program
import pytest
import torch
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import PostLocalSGDState, post_localSGD_hook

from fulmen_interfaces import ConfigurationError
from fulmen_strategy_ddp import DDPStrategy
from fulmen_testing import assert_weights_close, run_program


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two ranks wrote."""
    return run_program(program.__file__, tmp_path_factory.mktemp("features")).ranks


def batches(count: int, rank: int | None) -> list[tuple[Tensor, ...]]:
    """The batches of three that a rank reads; of no rank in particular, those of both together."""
    data = program.samples(count).tensors
    size = 6 if rank is None else 3
    own = [values if rank is None else values[rank::2] for values in data]
    return [tuple(values[first : first + size] for values in own) for first in range(0, len(own[0]), size)]


def fresh(kind: str) -> Any:
    torch.manual_seed(0)
    return getattr(program, kind)()


def step(module: Any, optimizer: Any, batch: tuple[Tensor, ...]) -> None:
    optimizer.zero_grad()
    module.loss(batch).backward()
    optimizer.step()


def plain_weights(kind: str) -> dict[str, list[float]]:
    module = fresh(kind)
    optimizer = module.configure_optimizers()
    for _ in range(2):
        for batch in batches(24, None):
            step(module, optimizer, batch)
    weights: dict[str, list[float]] = program.weights(module)
    return weights


def test_batch_norm_takes_its_statistics_from_all_ranks(ranks: list[dict[str, Any]]) -> None:
    expected = plain_weights("Normed")
    for rank in ranks:
        assert rank["batchnorm"]["layer"] == "RankedBatchNorm"
        assert_weights_close(rank["batchnorm"]["weights"], expected, 1e-5)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("plain", 1e-6),
        ("static_graph", 1e-6),
        ("bucket_view", 1e-6),
        ("fp16", 5e-3),
        ("power_sgd", 1e-4),
        ("fp16_wrapped", 5e-3),
    ],
)
def test_gradients_may_travel_in_many_ways(ranks: list[dict[str, Any]], name: str, tolerance: float) -> None:
    expected = plain_weights("Regression")
    for rank in ranks:
        assert_weights_close(rank["options"][name], expected, tolerance)
    assert ranks[0]["options"][name] == ranks[1]["options"][name]
    if tolerance > 1e-6:
        assert ranks[0]["options"][name] != ranks[0]["options"]["plain"]  # they did travel in another way


def test_weights_are_averaged_after_every_few_local_steps(ranks: list[dict[str, Any]]) -> None:
    """Two steps together; from the third on alone, with averages behind steps three, six and nine."""
    modules = [fresh("Regression") for _ in range(2)]
    optimizers = [module.configure_optimizers() for module in modules]
    data = [batches(48, rank) for rank in range(2)]
    for number in range(7):
        if number < 2:
            for module, batch in zip(modules, (of_rank[number] for of_rank in data), strict=True):
                module.zero_grad()
                module.loss(batch).backward()
            for pair in zip(*(module.parameters() for module in modules), strict=True):
                mean = (pair[0].grad + pair[1].grad) / 2
                pair[0].grad, pair[1].grad = mean.clone(), mean.clone()
            for optimizer in optimizers:
                optimizer.step()
        else:
            for module, optimizer, of_rank in zip(modules, optimizers, data, strict=True):
                step(module, optimizer, of_rank[number])
        if number >= 2 and (number - 2) % 3 == 0:
            with torch.no_grad():
                for pair in zip(*(module.parameters() for module in modules), strict=True):
                    mean = (pair[0] + pair[1]) / 2
                    pair[0].copy_(mean)
                    pair[1].copy_(mean)
        if number + 1 in (4, 5, 6, 7):
            for rank, module in zip(ranks, modules, strict=True):
                assert_weights_close(rank["averaging"][str(number + 1)], program.weights(module))
    assert ranks[0]["averaging"]["6"] == ranks[1]["averaging"]["6"]
    assert ranks[0]["averaging"]["7"] != ranks[1]["averaging"]["7"]
    assert ranks[0]["averaging"]["saved"] == 5


def test_gradients_travel_only_with_the_last_batch_of_a_window(ranks: list[dict[str, Any]]) -> None:
    every, in_twos, in_threes = ranks[0]["all_reduces"]
    others = every - 4  # what else is exchanged in a fit
    assert others >= 0
    assert (in_twos - others, in_threes - others) == (2, 2)


def test_at_most_ten_frames_lead_from_fit_to_the_training_step(ranks: list[dict[str, Any]]) -> None:
    assert 0 < ranks[0]["frames"] <= 10


def test_half_a_request_for_averaging_is_refused() -> None:
    state = PostLocalSGDState(None, None, start_localSGD_iter=2)
    with pytest.raises(ConfigurationError, match="nothing says when"):
        DDPStrategy(ddp_comm_state=state, ddp_comm_hook=post_localSGD_hook)
    with pytest.raises(ConfigurationError, match="averaged in every step"):
        DDPStrategy(model_averaging_period=4)
    with pytest.raises(ConfigurationError, match="1 or more"):
        DDPStrategy(model_averaging_period=0, ddp_comm_state=state, ddp_comm_hook=post_localSGD_hook)
