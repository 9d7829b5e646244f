"""Runs over two processes, held against plain loops over the union of what both ranks read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import deepspeed_program as program
import pytest
import torch
from deepspeed.runtime.lr_schedules import WarmupLR
from deepspeed_truth import TOLERANCES, PlainLoop, assert_close, whole_run
from torch import nn

from fulmen_core import consolidate_checkpoint

STAGES = program.STAGES
Ranks = list[dict[str, Any]]


@pytest.fixture(scope="module")
def truth() -> dict[str, dict[str, list[float]]]:
    return {precision: whole_run(precision).train(range(8)) for precision in program.PRECISIONS}


@pytest.mark.parametrize("precision", program.PRECISIONS)
@pytest.mark.parametrize("stage", STAGES)
def test_two_ranks_train_as_one_process_on_both_batches(
    ranks: Ranks, truth: dict[str, Any], stage: int, precision: str
) -> None:
    for rank in ranks:
        assert_close(rank[f"{stage} {precision}"]["weights"], truth[precision], TOLERANCES[precision])
    first, second = (rank[f"{stage} {precision}"] for rank in ranks)
    assert first["weights"] == second["weights"]
    assert first["seen"][0] != second["seen"][0]


@pytest.mark.parametrize("stage", STAGES)
def test_states_in_the_hosts_memory_change_nothing(ranks: Ranks, truth: dict[str, Any], stage: int) -> None:
    assert_close(ranks[1][f"offloaded {stage}"], truth["32-true"], TOLERANCES["32-true"])


@pytest.mark.parametrize("stage", [2, 3])
def test_weights_that_are_rounded_from_others_stay_near_the_truth(
    ranks: Ranks, truth: dict[str, Any], stage: int
) -> None:
    found = ranks[1][f"masters {stage}"]
    assert_close(found, truth["32-true"], 0.02)
    rounded = torch.tensor(found["body.weight"]).bfloat16().float().tolist()
    assert found["body.weight"] != rounded, "what comes back must be the weights that are kept in float32"


@pytest.mark.parametrize("stage", [2, 3])
def test_the_configs_own_optimizer_and_scheduler_are_used(ranks: Ranks, stage: int) -> None:
    loop = PlainLoop(program.made(program.ByConfig, seed=0), clip=program.CLIP)
    trained = [one for one in loop.module.parameters() if one.requires_grad]
    loop.optimizer = torch.optim.SGD(trained, lr=0.1, momentum=0.9)
    loop.scheduler = WarmupLR(loop.optimizer, warmup_max_lr=0.1, warmup_num_steps=4, warmup_type="linear")
    expected = loop.train(range(4))
    found = ranks[0][f"config {stage}"]
    assert_close(found["weights"], expected, TOLERANCES["32-true"])
    assert found["rate"] == pytest.approx(loop.optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize("stage", STAGES)
def test_steps_by_hand_are_synchronised(ranks: Ranks, stage: int) -> None:
    loop = PlainLoop(program.made(program.ByHand, seed=0))
    loop.scheduler = None
    assert_close(ranks[1][f"hand {stage}"], loop.train(range(4)), TOLERANCES["32-true"])


# -- state -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_a_file_of_any_stage_is_gone_on_with_by_torch_alone(
    ranks: Ranks, truth: dict[str, Any], folder: Path, stage: int
) -> None:
    saved = torch.load(folder / f"stage{stage}-32-true.ckpt", weights_only=True)
    loop = PlainLoop(program.made(seed=5), clip=program.CLIP, window=program.WINDOW)
    loop.module.load_state_dict(saved["state_dict"])
    loop.optimizer.load_state_dict(saved["optimizer_states"][0])
    loop.scheduler.load_state_dict(saved["lr_schedulers"][0])
    half = whole_run()
    half.train(range(6))
    for one, other in zip(loop.optimizer.param_groups, half.optimizer.param_groups, strict=True):
        assert one["lr"] == pytest.approx(other["lr"])
        for mine, theirs in zip(one["params"], other["params"], strict=True):
            state, expected = loop.optimizer.state[mine], half.optimizer.state[theirs]
            assert float(state["step"]) == float(expected["step"]) == 3
            for key in ("exp_avg", "exp_avg_sq"):
                torch.testing.assert_close(state[key], expected[key], rtol=1e-5, atol=1e-7)
    assert_close(loop.train(range(6, 8)), truth["32-true"], TOLERANCES["32-true"])


@pytest.mark.parametrize("stage", STAGES)
def test_a_file_of_one_stage_is_gone_on_with_by_another(ranks: Ranks, truth: dict[str, Any], stage: int) -> None:
    for rank in ranks:
        found = rank[f"crossed {stage}"]
        assert_close(found["weights"], truth["32-true"], TOLERANCES["32-true"])
        assert found["steps"] == 4


def test_going_on_within_a_stage_is_exact(ranks: Ranks) -> None:
    for rank in ranks:
        assert rank["resumed"]["weights"] == rank["3 32-true"]["weights"]
        assert rank["masters resumed"] == rank["masters 2"]


@pytest.mark.parametrize("stage", ["2", "3"])
def test_a_directory_of_one_stage_is_gone_on_with_by_another(ranks: Ranks, truth: dict[str, Any], stage: str) -> None:
    for rank in ranks:
        assert_close(rank["sharded"][stage]["weights"], truth["32-true"], TOLERANCES["32-true"])


def test_a_directory_becomes_one_file(ranks: Ranks, folder: Path) -> None:
    assert ranks
    consolidate_checkpoint(folder / "sharded3", folder / "whole.ckpt")
    found = torch.load(folder / "whole.ckpt", weights_only=True)
    expected = torch.load(folder / "stage3-32-true.ckpt", weights_only=True)
    assert found["state_dict"].keys() == expected["state_dict"].keys()
    for name, value in expected["state_dict"].items():
        assert torch.equal(found["state_dict"][name], value), name
    for number, values in expected["optimizer_states"][0]["state"].items():
        torch.testing.assert_close(found["optimizer_states"][0]["state"][number], values, rtol=0, atol=0)


@pytest.mark.parametrize("stage", STAGES)
def test_a_file_of_two_processes_is_read_by_one(ranks: Ranks, folder: Path, stage: int) -> None:
    assert ranks
    saved = torch.load(folder / "stage1-32-true.ckpt", weights_only=True)
    module = program.made(seed=5)
    run = program.trainer(stage, devices=1, max_epochs=program.EPOCHS, accumulate_grad_batches=program.WINDOW)
    file = folder / f"again{stage}.ckpt"
    module.on_train_start = lambda: run.save_checkpoint(file)  # type: ignore[method-assign]
    module.on_train_batch_start = lambda batch, batch_idx: -1  # type: ignore[assignment, method-assign]
    run.fit(module, program.loader(), ckpt_path=folder / "stage1-32-true.ckpt")
    again = torch.load(file, weights_only=True)
    for name, value in saved["state_dict"].items():
        assert torch.equal(again["state_dict"][name], value), name
    torch.testing.assert_close(again["optimizer_states"], saved["optimizer_states"], rtol=0, atol=0)


def test_after_a_run_the_module_is_whole_and_the_users_own(ranks: Ranks, folder: Path) -> None:
    saved = torch.load(folder / "after.ckpt", weights_only=True)
    for rank in ranks:
        found = rank["after"]
        assert (found["left"], found["hooks"]) == ([], 0)
        assert_close(
            {name: value.flatten().tolist() for name, value in saved["state_dict"].items()}, found["weights"], 0
        )
    assert saved["optimizer_states"][0]["state"][0]["exp_avg"].shape == (5, 3)


# -- evaluation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["1", "5"])
def test_ranks_with_different_numbers_of_batches_evaluate_every_sample(ranks: Ranks, size: str) -> None:
    count = int(size)
    _, features, targets = program.samples(count).tensors
    with torch.no_grad():
        error = (program.made(seed=0)(features) - targets).abs().double().mean()
    parts = [rank["evaluation"][size] for rank in ranks]
    predicted = [number for part in parts for batch in part["predicted"] or [] for number in batch]
    assert sorted(predicted) == list(range(count))
    for part in parts:
        (values,) = part["results"]
        assert values["mean"] == pytest.approx((count - 1) / 2)
        assert values["error"] == pytest.approx(float(error), abs=1e-6)


@pytest.mark.parametrize("stage", [2, 3])
def test_validating_within_a_fit_changes_nothing(ranks: Ranks, truth: dict[str, Any], stage: int) -> None:
    _, features, targets = program.samples(5).tensors
    module = whole_run()
    module.train(range(8))
    with torch.no_grad():
        error = (module.module(features) - targets).abs().double().mean()
    for rank in ranks:
        found = rank[f"uneven {stage}"]
        assert_close(found["weights"], truth["32-true"], TOLERANCES["32-true"])
        for values in (found["metrics"], found["after"][0]):
            assert values["error"] == pytest.approx(float(error), abs=1e-5)


# -- modules made in pieces --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
def test_parts_made_by_configure_model_are_divided_from_the_start(ranks: Ranks, precision: str) -> None:
    for rank in ranks:
        found = rank["pieces"][precision]
        assert found["shapes"] == [[0]]
        assert len(found["weights"]["body.weight"]) == 15
    assert ranks[0]["pieces"][precision]["weights"] == ranks[1]["pieces"][precision]["weights"]


def test_parts_made_in_pieces_train_like_whole_ones(ranks: Ranks) -> None:
    loop = PlainLoop(program.made(seed=0))
    torch.manual_seed(7)
    loop.module.body = nn.Linear(3, 5)
    made = loop.module.configure_optimizers()
    loop.optimizer, loop.scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]
    assert_close(ranks[0]["pieces"]["32-true"]["weights"], loop.train(range(4)), TOLERANCES["32-true"])


@pytest.mark.parametrize(("place", "count"), [(0, 3), (1, 4)], ids=["gathered", "layer by layer"])
def test_modules_in_pieces_are_evaluated(ranks: Ranks, place: int, count: int) -> None:
    module = program.made(seed=0)
    torch.manual_seed(7)
    module.body = nn.Linear(3, 5)
    _, features, targets = program.samples(count).tensors
    with torch.no_grad():
        error = (module(features) - targets).abs().double().mean()
    for rank in ranks:
        found = rank["evaluation in pieces"][place]
        assert found["shapes"] == [[0]]
        assert found["results"][0]["error"] == pytest.approx(float(error), abs=1e-6)
        assert_close(found["weights"], program.weights(module), 0)
