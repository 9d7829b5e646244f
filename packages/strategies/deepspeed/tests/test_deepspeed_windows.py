"""Accumulation windows over two processes: cut open, ended early, with parameters that have no part in some batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import deepspeed_program as program
import pytest
from deepspeed_truth import TOLERANCES, PlainLoop, assert_close

Ranks = list[dict[str, Any]]
EVERYWHERE = [f"{stage}{place}" for stage in program.STAGES for place in ("", " on host")]
OTHERWISE = [f"{stage} {how}" for stage in program.STAGES for how in ("bf16-mixed", "bf16-true", "apart")]
OTHERWISE += ["1 in turn", "2 in turn"]


class Windows(PlainLoop):
    """A loop that says for each step which batches it is made of."""

    def run(self, windows: Sequence[Sequence[int]]) -> dict[str, list[float]]:
        for numbers in windows:
            for number in numbers:
                if (loss := self.loss(number)) is not None:
                    (loss / len(numbers)).backward()
            self.step()
        return program.weights(self.module)


@pytest.mark.parametrize("how", [*EVERYWHERE, *OTHERWISE])
def test_a_run_that_was_cut_within_a_window_goes_on_exactly(windows: Ranks, how: str) -> None:
    for rank in windows:
        found = rank[f"cut {how}"]
        assert found["saving"] == found["whole"]
        assert found["on"] == found["whole"]


@pytest.mark.parametrize("how", EVERYWHERE)
def test_three_ranks_train_as_two_and_go_on_exactly(windows: Ranks, three: Ranks, how: str) -> None:
    assert len(three) == 3
    for rank in three:
        found = rank[f"cut {how}"]
        assert found["on"] == found["whole"] == three[0][f"cut {how}"]["whole"]
        assert_close(found["whole"], windows[0]["cut 1"]["whole"], TOLERANCES["32-true"])


@pytest.mark.parametrize("stage", program.STAGES)
def test_a_window_that_one_stage_left_open_is_gone_on_with_by_another(windows: Ranks, stage: int) -> None:
    for rank in windows:
        assert_close(rank[f"elsewhere {stage}"], rank["cut 1"]["whole"], TOLERANCES["32-true"])


@pytest.mark.parametrize("stage", program.STAGES)
def test_a_window_that_two_processes_left_open_is_gone_on_with_by_one(
    windows: Ranks, folder_of_windows: Path, stage: int
) -> None:
    module = program.made(program.Saving, seed=5)
    how = {"max_epochs": program.EPOCHS, "accumulate_grad_batches": 3, "gradient_clip_val": program.CLIP}
    run = program.trainer(stage, devices=1, **how)
    run.fit(module, program.loader(size=6), ckpt_path=folder_of_windows / f"cut{stage % 3 + 1}.ckpt")
    assert_close(program.weights(module), windows[0]["cut 1"]["whole"], TOLERANCES["32-true"])


@pytest.mark.parametrize("how", EVERYWHERE)
def test_a_last_window_that_turns_out_smaller_is_averaged_over_its_size(windows: Ranks, how: str) -> None:
    loop = Windows(program.made(seed=0), clip=program.CLIP)
    expected = loop.run([(0, 1), (2,)] * 2)
    for rank in windows:
        assert_close(rank[f"stream {how}"], expected, TOLERANCES["32-true"])


class SparseLoop(Windows):
    """Knows by number which layers and which loss are left out."""

    def loss(self, number: int) -> Any:
        self.module.number = number
        return None if number == program.WITHOUT_LOSS else super().loss(number % 4)


@pytest.mark.parametrize("how", EVERYWHERE)
def test_parameters_and_losses_may_be_absent_from_some_batches(windows: Ranks, how: str) -> None:
    """The middle layers have a part in the first batch of a window only, in the last only, in none, and in all."""
    loop = SparseLoop(program.made(program.Sparse, seed=0), clip=program.CLIP)
    expected = loop.run([(0, 1), (2, 3), (4, 5), (6, 7)])
    for rank in windows:
        assert_close(rank[f"sparse {how}"], expected, TOLERANCES["32-true"])


class TwoLosses(Windows):
    """The mean of two losses."""

    def loss(self, number: int) -> Any:
        features, targets = (values[6 * number : 6 * number + 6] for values in program.samples(24).tensors[1:])
        errors = self.module(features) - targets
        return errors.pow(2).mean() + errors.abs().mean()


@pytest.mark.parametrize("how", EVERYWHERE)
def test_gradients_add_up_by_hand_without_saying_that_more_follow(windows: Ranks, how: str) -> None:
    loop = TwoLosses(program.made(program.AfterTwo, seed=0))
    loop.scheduler = None
    expected = loop.run([(0, 1), (2, 3)])
    for rank in windows:
        assert_close(rank[f"two {how}"], expected, TOLERANCES["32-true"])
