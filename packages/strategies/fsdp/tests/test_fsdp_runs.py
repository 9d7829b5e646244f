"""Runs over two processes, held against plain loops over the union of what both ranks read."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

from fulmen_core import Trainer

PROGRAM = Path(__file__).parent / "fsdp_program.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def load_program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fsdp_program", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


program = load_program()
Weights = dict[str, list[float]]
Change = Callable[[Any], object]


def on_rank_zero(kind: str) -> Any:
    torch.manual_seed(0)
    return getattr(program, kind)()


def one_process(**arguments: Any) -> Trainer:
    quiet = {"accelerator": "cpu", "devices": 1, "strategy": "single_device", "logger": False, **program.QUIET}
    return Trainer(**{**quiet, **arguments})


def of_both(size: int = 24) -> DataLoader[Any]:
    """Return batches of six: what two ranks read three each of."""
    return DataLoader(program.samples(size), batch_size=6)


def named(state: dict[str, Tensor]) -> Weights:
    return {name: value.flatten().tolist() for name, value in state.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the ranks wrote what they saw; before that, one process trained each kind for an epoch."""
    folder = tmp_path_factory.mktemp("fsdp")
    for name, kind in program.KINDS.items():
        run = one_process(max_epochs=1)
        run.fit(on_rank_zero(kind.__name__), of_both())
        run.save_checkpoint(folder / f"{name}-one-process.ckpt")
    command = [sys.executable, str(PROGRAM), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def plain_loop(module: Any, *, epochs: int = 2, window: int = 1, change: Change | None = None) -> Weights:
    """Train on one process; `change` does something to the gradients before each step."""
    optimizer = module.configure_optimizers()
    data = program.samples(24).tensors
    for _ in range(epochs):
        optimizer.zero_grad()
        for number in range(4):
            batch = tuple(values[6 * number : 6 * number + 6] for values in data)
            size = min(window, 4 - number // window * window)
            (module.loss(batch) / size).backward()
            if (number + 1) % window == 0 or number == 3:
                if change is not None:
                    change(module.parameters())
                optimizer.step()
                optimizer.zero_grad()
    return named(module.state_dict())


def assert_close(actual: Weights, expected: Weights, tolerance: float = 1e-6) -> None:
    assert list(actual) == list(expected)
    for name, values in expected.items():
        assert actual[name] == pytest.approx(values, abs=tolerance), name


@pytest.mark.parametrize("settings", ["plain", "whole", "kept", "offloaded", "recomputed", "own"])
def test_two_ranks_train_as_one_process_on_both_batches(ranks: list[dict[str, Any]], settings: str) -> None:
    expected = plain_loop(on_rank_zero("Regression"))
    for rank in ranks:
        assert_close(rank[settings], expected)


def test_accumulated_gradients_are_clipped_by_the_norm_over_all_ranks(ranks: list[dict[str, Any]]) -> None:
    module = on_rank_zero("Regression")
    norms: list[Tensor] = []
    expected = plain_loop(
        module, epochs=1, window=3, change=lambda parameters: norms.append(clip_grad_norm_(list(parameters), 0.3))
    )
    assert max(norms) > 0.3
    assert_close(ranks[0]["accumulation"], expected)


def test_gradients_are_clipped_by_value(ranks: list[dict[str, Any]]) -> None:
    expected = plain_loop(on_rank_zero("Regression"), change=lambda parameters: clip_grad_value_(parameters, 0.05))
    assert_close(ranks[0]["by_value"], expected)


@pytest.mark.parametrize(("name", "kind"), [("adaptive", "Adaptive"), ("tied", "Tied")])
def test_frozen_absent_and_tied_parameters_train_as_in_one_process(
    ranks: list[dict[str, Any]], name: str, kind: str
) -> None:
    assert_close(ranks[1][name], plain_loop(on_rank_zero(kind)))


@pytest.mark.parametrize("settings", ["by_hand", "by_hand_whole"])
def test_steps_by_hand_see_what_the_step_before_changed(ranks: list[dict[str, Any]], settings: str) -> None:
    module = on_rank_zero("ByHand")
    optimizers = module.configure_optimizers()
    for _ in range(2):
        for _, *batch in of_both():
            for optimizer in optimizers:
                for part in (1.0, 0.5):
                    (module.loss((None, *batch)) * part).backward()
                optimizer.step()
                module.zero_grad()
    assert_close(ranks[0][settings], named(module.state_dict()))


def test_optimizers_in_turn_change_their_own_parameters_only(ranks: list[dict[str, Any]]) -> None:
    module = on_rank_zero("InTurn")
    optimizers = module.configure_optimizers()
    for _ in range(2):
        for batch in of_both():
            for factor, optimizer in enumerate(optimizers, 1):
                module.zero_grad()
                (module.loss(batch) * factor).backward()
                optimizer.step()
    assert_close(ranks[0]["in_turn"], named(module.state_dict()))


def test_a_step_without_loss_leaves_no_old_weights_behind(ranks: list[dict[str, Any]]) -> None:
    module = on_rank_zero("Skipping")
    optimizer = module.configure_optimizers()
    for _ in range(2):
        for number, batch in enumerate(of_both()):
            if number % 2:
                module.loss(batch).backward()
            optimizer.step()
            optimizer.zero_grad()
    assert_close(ranks[0]["skipping"], named(module.state_dict()))


def test_precisions_compute_as_in_one_process(ranks: list[dict[str, Any]]) -> None:
    cases = {
        "mixed": ("Regression", "bf16-mixed", 5e-3),
        "scaled": ("Gentle", "16-mixed", 1e-3),
        "double": ("Regression", "64-true", 1e-9),
        "half": ("Regression", "bf16-true", 2e-2),
    }
    for name, (kind, precision, tolerance) in cases.items():
        module = on_rank_zero(kind)
        one_process(max_epochs=2, precision=precision).fit(module, of_both())
        assert_close(ranks[0][name], named(module.state_dict()), tolerance)


def test_a_gradient_that_overflows_on_one_rank_is_left_out_on_all(ranks: list[dict[str, Any]]) -> None:
    module = on_rank_zero("Regression")
    optimizer = module.configure_optimizers()
    for number, batch in enumerate([*of_both(), *of_both()]):
        if number != 1:
            optimizer.zero_grad()
            (module.loss(batch) / 64).backward()
            optimizer.step()
    for rank in ranks:
        assert_close(rank["overflowing"], named(module.state_dict()), 1e-3)


@pytest.mark.parametrize("size", range(1, 6))
def test_every_sample_is_evaluated_once_although_passes_gather_weights(ranks: list[dict[str, Any]], size: int) -> None:
    parts = [rank["evaluation"][str(size)] for rank in ranks]
    seen = [number for part in parts for batch in part["seen"] for number in batch]
    predicted = [number for part in parts for batch in part["predicted"] or [] for number in batch]
    assert sorted(seen) == sorted(predicted) == list(range(size))
    for part in parts:
        assert part["results"][0]["mean"] == pytest.approx((size - 1) / 2)


def test_ranks_help_each_other_in_every_loader(ranks: list[dict[str, Any]]) -> None:
    assert [rank["several_loaders"] for rank in ranks] == [[[0], [2], [0], [0], [2]], [[1], [1], [3]]]


def test_a_module_is_evaluated_and_trained_again_by_other_trainers(ranks: list[dict[str, Any]]) -> None:
    module = on_rank_zero("Regression")
    for _ in range(2):
        plain_loop(module, epochs=1)
    assert_close(ranks[0]["one_after_the_other"], named(module.state_dict()))


@pytest.mark.parametrize(
    "name", ["resuming", "resuming_in_a_window", "resuming_from_parts", "resuming_in_a_window_from_parts"]
)
def test_a_run_goes_on_from_its_checkpoint_to_the_same_weights(ranks: list[dict[str, Any]], name: str) -> None:
    for rank in ranks:
        resuming = rank[name]
        assert resuming["rest"] == resuming["whole"]
        whole, rest = resuming["seen"]
        assert rest == whole[5:]


@pytest.mark.parametrize("name", program.KINDS)
def test_two_processes_go_on_with_what_one_wrote(ranks: list[dict[str, Any]], name: str) -> None:
    module = on_rank_zero(program.KINDS[name].__name__)
    one_process(max_epochs=2).fit(module, of_both())
    assert_close(ranks[0]["going_on"][name], named(module.state_dict()))


@pytest.mark.parametrize("name", program.KINDS)
def test_one_process_goes_on_with_what_two_wrote(folder: Path, name: str) -> None:
    kind = program.KINDS[name].__name__
    rest, whole = on_rank_zero(kind), on_rank_zero(kind)
    one_process(max_epochs=3).fit(rest, of_both(), ckpt_path=folder / f"{name}-two-processes.ckpt")
    one_process(max_epochs=3).fit(whole, of_both())
    assert_close(named(rest.state_dict()), named(whole.state_dict()))


def test_one_process_goes_on_with_the_parts_of_two(folder: Path) -> None:
    assert (folder / "parts.ckpt").is_dir()
    module, truth = on_rank_zero("Saving"), torch.load(folder / "half.ckpt", weights_only=True)
    run = one_process(max_epochs=2, max_steps=5)
    run.fit(module, of_both(), ckpt_path=folder / "parts.ckpt")
    assert_close(named(module.state_dict()), named(truth["state_dict"]), 0)
    for number, values in run.optimizers[0].state_dict()["state"].items():
        for key, value in truth["optimizer_states"][0]["state"][number].items():
            assert torch.equal(values[key], value), key


@pytest.mark.parametrize("name", program.KINDS)
def test_files_are_those_of_one_process(folder: Path, name: str) -> None:
    ours, plain = (
        torch.load(folder / f"{name}-{count}.ckpt", weights_only=True) for count in ("two-processes", "one-process")
    )
    assert list(ours["state_dict"]) == list(plain["state_dict"])
    for mine, theirs in zip(ours["optimizer_states"], plain["optimizer_states"], strict=True):
        assert mine["param_groups"] == theirs["param_groups"]
        assert mine["state"].keys() == theirs["state"].keys()
        for number, values in theirs["state"].items():
            assert {key: type(value) for key, value in mine["state"][number].items()} == {
                key: type(value) for key, value in values.items()
            }
            assert [value.shape for value in mine["state"][number].values()] == [
                value.shape for value in values.values()
            ]


def test_modules_made_without_memory_begin_alike_on_any_number_of_ranks(ranks: list[dict[str, Any]]) -> None:
    run = Trainer(
        accelerator="cpu",
        devices=1,
        strategy=program.FSDPStrategy(auto_wrap_policy=program.BLOCKS),
        logger=False,
        max_epochs=1,
        limit_train_batches=0,
        **program.QUIET,
    )
    with run.init_module(empty_init=True):
        module = program.Late()
    torch.manual_seed(5)
    run.fit(module, DataLoader(program.samples(4)))
    state = {name: value.full_tensor() for name, value in module.state_dict().items()}
    assert state["body.weight"].std() > 0.1
    assert ranks[0]["without_memory"] == named(state)
