"""Runs over two processes, held against plain loops over the union of what both ranks read."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader

PROGRAM = Path(__file__).parent / "fairscale_program.py"
Weights = dict[str, list[float]]


def load_program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fairscale_program", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


program = load_program()


def on_rank_zero(kind: str) -> Any:
    torch.manual_seed(0)
    return getattr(program, kind)()


def on_one_device(module: Any, path: Path | None = None) -> None:
    run = program.trainer(strategy="single_device", devices=1)
    run.fit(module, DataLoader(program.samples(40), batch_size=8), ckpt_path=path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two ranks wrote what they saw, after one device wrote a checkpoint in the middle of its run."""
    folder = tmp_path_factory.mktemp("fairscale")
    module = on_rank_zero("Regression")
    module.save_to = folder / "single.ckpt"
    on_one_device(module)
    done = subprocess.run([sys.executable, PROGRAM, folder], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def batches() -> list[tuple[Tensor, ...]]:
    """What two ranks read four samples each of."""
    tensors = program.samples(40).tensors
    return [tuple(values[start : start + 8] for values in tensors) for start in range(0, 40, 8)]


def plain_loop(*, window: int = 1, bound: Callable[[nn.Module], object] = lambda _: None) -> Weights:
    module = on_rank_zero("Regression")
    made = module.configure_optimizers()
    optimizer, scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]
    for number, batch in enumerate(batches()):
        (module.loss(batch) / min(window, 5 - number // window * window)).backward()
        if (number + 1) % window == 0 or number == 4:
            bound(module)
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
    found: Weights = program.weights(module)
    return found


def assert_close(actual: Weights, expected: Weights, within: float = 1e-6) -> None:
    assert actual.keys() == expected.keys()
    for name, values in expected.items():
        assert actual[name] == pytest.approx(values, abs=within), name


def test_two_ranks_train_as_one_process_and_share_the_state(ranks: list[dict[str, Any]]) -> None:
    expected = plain_loop()
    for rank in ranks:
        assert_close(rank["plain"]["weights"], expected)
    assert ranks[0]["plain"]["weights"] == ranks[1]["plain"]["weights"]
    counts = [rank["plain"]["own_state"][0] for rank in ranks]
    assert sum(counts) == 4
    assert 0 not in counts


def test_windows_are_averaged_and_clipped_by_the_norm_of_all_gradients(ranks: list[dict[str, Any]]) -> None:
    expected = plain_loop(window=2, bound=lambda module: clip_grad_norm_(module.parameters(), 0.3))
    assert_close(ranks[1]["accumulation"]["weights"], expected)
    assert ranks[1]["accumulation"]["steps"] == 3


def test_gradients_are_clipped_by_value(ranks: list[dict[str, Any]]) -> None:
    expected = plain_loop(bound=lambda module: clip_grad_value_(module.parameters(), 0.01))
    assert_close(ranks[0]["by_value"]["weights"], expected)


def test_batch_norm_sees_all_ranks_where_that_was_asked_for(ranks: list[dict[str, Any]]) -> None:
    module = on_rank_zero("Stepping")
    optimizer = module.configure_optimizers()
    for batch in batches():
        optimizer.zero_grad()
        module.loss(batch).backward()
        optimizer.step()
    for rank in ranks:
        assert_close(rank["synchronised"]["weights"], program.weights(module))


def test_several_optimizers_step_by_turns(ranks: list[dict[str, Any]]) -> None:
    module = on_rank_zero("Several")
    optimizers: list[Optimizer] = module.configure_optimizers()
    for batch in batches():
        for turn, optimizer in enumerate(optimizers):
            module.zero_grad()
            (module.loss(batch) * (turn + 1)).backward()
            optimizer.step()
    assert_close(ranks[1]["several"]["weights"], program.weights(module))


def test_losses_by_hand_add_up_before_a_step(ranks: list[dict[str, Any]]) -> None:
    module = on_rank_zero("ByHand")
    first, second = module.configure_optimizers()
    for batch in batches():
        module.zero_grad()
        (2 * module.loss(batch)).backward()
        first.step()
        module.zero_grad()
        module.predicted(batch[0]).pow(2).mean().backward()
        second.step()
    assert_close(ranks[1]["by_hand"]["weights"], program.weights(module))


def test_parameters_that_are_added_later_are_trained_too(ranks: list[dict[str, Any]]) -> None:
    module = on_rank_zero("Unfreezing")
    optimizer = SGD([{"params": module.head.parameters(), "lr": 0.05}, {"params": module.body.parameters(), "lr": 0}])
    for number, batch in enumerate(batches()):
        optimizer.param_groups[1]["lr"] = 0.02 if number >= 2 else 0.0
        optimizer.zero_grad()
        module.loss(batch).backward()
        optimizer.step()
    for rank in ranks:
        assert_close(rank["unfreezing"]["weights"], program.weights(module))


def test_all_ranks_leave_a_step_out_where_one_has_no_finite_gradient(ranks: list[dict[str, Any]], folder: Path) -> None:
    module = on_rank_zero("Overflowing")
    optimizer = module.configure_optimizers()
    for number, batch in enumerate(batches()[:3]):
        optimizer.zero_grad()
        if number != 1:
            with torch.autocast("cpu", torch.float16):
                loss = module.loss(batch) / 100
            loss.backward()
            optimizer.step()
    for rank in ranks:
        assert_close(rank["scaled"]["weights"], program.weights(module), within=1e-3)
    assert ranks[0]["scaled"] == ranks[1]["scaled"]
    scalers = [one for one in torch.load(folder / "scaled.ckpt").values() if isinstance(one, dict) and "scale" in one]
    assert [one["scale"] for one in scalers] == [2.0**15]


def test_every_sample_is_evaluated_once_whatever_their_number(ranks: list[dict[str, Any]]) -> None:
    module = on_rank_zero("Normed").eval()
    for rank in ranks:
        for size, found in rank["evaluating"].items():
            features, targets = program.samples(int(size)).tensors
            assert found == pytest.approx(float(module.loss((features, targets)).detach()), abs=1e-5)


def test_a_run_goes_on_from_its_checkpoint_to_the_same_weights(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert rank["resuming"]["again"] == rank["resuming"]["whole"]


def test_checkpoints_are_those_of_ddp(ranks: list[dict[str, Any]], folder: Path) -> None:
    sharded, whole = (torch.load(folder / name) for name in ("sharded.ckpt", "ddp.ckpt"))
    assert sharded["optimizer_states"][0]["param_groups"] == whole["optimizer_states"][0]["param_groups"]
    states = [one["optimizer_states"][0]["state"] for one in (sharded, whole)]
    assert list(states[0]) == list(states[1]) == list(range(6))
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=1e-6)
    torch.testing.assert_close(sharded["state_dict"], whole["state_dict"], rtol=0, atol=1e-6)
    for rank in ranks:
        resuming = rank["resuming"]
        assert_close(resuming["read by ddp"], resuming["whole"])
        assert_close(resuming["written by ddp"], resuming["whole of ddp"])


def test_checkpoints_may_be_directories_of_parts(ranks: list[dict[str, Any]], folder: Path) -> None:
    assert (folder / "parts.ckpt").is_dir()
    for rank in ranks:
        resuming = rank["resuming"]
        assert resuming["from parts"] == resuming["whole with parts"] == resuming["whole"]
        assert_close(resuming["parts read by ddp"], resuming["whole"])


def test_checkpoints_are_those_of_one_device(ranks: list[dict[str, Any]], folder: Path) -> None:
    assert_close(ranks[1]["from single_device"]["weights"], plain_loop())
    module = on_rank_zero("Regression")
    on_one_device(module, folder / "two.ckpt")
    assert_close(program.weights(module), plain_loop())


def test_parameters_have_memory_of_their_own_after_the_run(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        for elements, held in rank["plain"]["memory"]:
            assert held == 4 * elements


def test_fairscale_says_nothing(ranks: list[dict[str, Any]], folder: Path) -> None:
    assert [rank["warnings"] for rank in ranks] == [[], []]
    assert [(folder / f"log{rank}.txt").read_text() for rank in (0, 1)] == ["", ""]
