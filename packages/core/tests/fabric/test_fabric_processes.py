"""Loops over two real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from fabric_cases import Net, loader, sgd
from torch.nn.functional import mse_loss

FOLDER = Path(__file__).parent
Weights = dict[str, list[float]]


def outcome(*command: object, **arguments: Any) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, *map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, timeout=240, check=False, **arguments)


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[dict[str, Any]]]:
    """Run the program once, whatever number of workers run tests; return its folder, its output, and what ranks saw."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "fabric-program"
    printed = folder / "printed.txt"
    try:
        folder.mkdir()
    except FileExistsError:  # another worker runs it
        end = time.monotonic() + 280.0
        while not printed.exists() and time.monotonic() < end:
            time.sleep(0.2)
    else:
        done = outcome(FOLDER / "fabric_program.py", folder)
        part = folder / "part.txt"
        part.write_text(done.stdout if done.returncode == 0 else done.stderr)
        part.replace(printed)
    files = [folder / f"rank{rank}.json" for rank in (0, 1)]
    assert all(file.exists() for file in files), printed.read_text()
    return folder, printed.read_text(), [json.loads(file.read_text()) for file in files]


@pytest.fixture
def ranks(launched: tuple[Path, str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return launched[2]


def by_hand(epochs: int, accumulate: int = 1) -> Weights:
    """The truth: one process that reads what both read, two batches of theirs at a time."""
    module = Net()
    optimizer = sgd(module)
    for _ in range(epochs):
        for index, (x, y) in enumerate(loader(size=4)):
            (mse_loss(module(x), y) / accumulate).backward()
            if (index + 1) % accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
    return {name: value.flatten().tolist() for name, value in module.state_dict().items()}


def assert_close(one: Weights, other: Weights) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert values == pytest.approx(other[name], rel=1e-4, abs=1e-6)


def test_both_ranks_have_the_weights_of_a_trainer_bit_for_bit(ranks: list[dict[str, Any]]) -> None:
    for run in ("trainer", "trainer_mixed", "trainer_scaled"):
        assert ranks[0][run]["ours"] == ranks[1][run]["ours"] == ranks[0][run]["trainers"]
    assert_close(ranks[0]["trainer"]["ours"], by_hand(2))


def test_gradients_travel_once_per_accumulation_window(ranks: list[dict[str, Any]]) -> None:
    assert [rank["accumulation"] for rank in ranks] == [1, 1]


def test_two_models_are_trained_against_each_other(ranks: list[dict[str, Any]]) -> None:
    one, other = Net(), Net()
    step_one, step_other = sgd(one), sgd(other)
    for x, y in loader(size=4):
        step_one.zero_grad()
        mse_loss(one(x), y).backward()
        step_one.step()
        step_other.zero_grad()
        mse_loss(one(other(x).expand(-1, 3)), y).backward()
        step_other.step()
    assert ranks[0]["adversaries"] == ranks[1]["adversaries"]
    for name, module in (("one", one), ("other", other)):
        truth = {key: value.flatten().tolist() for key, value in module.state_dict().items()}
        assert_close(ranks[0]["adversaries"][name], truth)


def test_an_optimizer_may_be_made_after_the_model_was_set_up(ranks: list[dict[str, Any]]) -> None:
    assert ranks[0]["later"]["weights"] == ranks[1]["later"]["weights"]
    assert_close(ranks[0]["later"]["weights"], by_hand(2))


def test_a_method_that_would_not_share_gradients_is_refused(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert "`Methods.loss` computes with the module" in rank["later"]["refused"]
        assert "Call `model.mark_forward_method('loss')`" in rank["later"]["refused"]


@pytest.mark.parametrize(("size", "once"), [(1, [[[0]], []]), (2, [[[0, 1]], []]), (5, [[[0, 1], [4]], [[2, 3]]])])
def test_samples_come_once_or_evenly(size: int, once: list[Any], ranks: list[dict[str, Any]]) -> None:
    assert [rank["evaluation"][str(size)]["once"] for rank in ranks] == once
    even = [rank["evaluation"][str(size)]["even"] for rank in ranks]
    assert len(even[0]) == len(even[1])
    assert {number for rank in even for batch in rank for number in batch} == set(range(size))


def test_shuffled_data_is_parted_anew_in_each_epoch(ranks: list[dict[str, Any]]) -> None:
    first, second, whole = zip(*[rank["shuffling"] for rank in ranks], strict=True)
    for epoch in (first, second):
        assert sorted([*epoch[0], *epoch[1]]) == list(range(6))
    assert first != second
    assert whole == (6, 6)


def test_values_are_gathered_reduced_and_sent(ranks: list[dict[str, Any]]) -> None:
    for number, rank in enumerate(ranks):
        found = rank["together"]
        assert found["gathered"] == [[[0.0], [1.0]], [0, 1], "x"]
        assert found["reduced"] == [0.5, 1.0, 1.0]
        assert found["reduced as torch says"] == [3.0, 2.0, 1.0, 1.5]
        assert found["broadcast"] == {"from": 1}
        assert found["place"] == [2, number, 0, number == 0]
        assert found["gradient"] == 2 * [2.0, 3.0][number]  # that of both ranks


def test_rank_zero_logs_prints_and_goes_first(launched: tuple[Path, str, list[dict[str, Any]]]) -> None:
    folder, printed, ranks = launched
    assert [rank["together"]["metrics"] for rank in ranks] == [[[1, {"rank": 0.0}]], []]
    assert printed.count("printed once") == 1
    first, second = (int((folder / f"entered-{rank}").read_text()) for rank in (0, 1))
    assert second - first >= 40_000_000


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_loop_goes_on_from_what_both_ranks_saved(kind: str, ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        found = rank[kind]
        assert found["whole"] == found["rest"] == ranks[0][kind]["whole"]
        assert found["besides"] == ["besides"]
        assert found["names"] == ["besides", "net", "sgd", "step"]
        assert found["is_directory"] == (kind == "directory")


def test_a_directory_holds_one_model(ranks: list[dict[str, Any]]) -> None:
    assert all("holds one model, and these are one, other" in rank["directory"]["two"] for rank in ranks)


def test_functions_and_subclasses_run_in_new_processes(tmp_path: Path) -> None:
    done = outcome(FOLDER / "fabric_started.py", tmp_path, "ddp_spawn", "ddp_fork")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "rank-none.json").read_text())
    torch.manual_seed(5)
    drawn = torch.rand(1).item()
    for strategy in ("ddp_spawn", "ddp_fork"):
        assert_close(found[strategy]["weights"], by_hand(1))
        assert found[strategy]["pid"] != found["pid"]
        assert found[strategy]["drawn"] == pytest.approx([drawn, drawn])
    error, cause = found["error"]
    assert error == "'rank one has had enough'"
    assert "Rank 1 failed:" in cause


def test_processes_of_torchrun_are_joined(tmp_path: Path) -> None:
    program = FOLDER / "fabric_started.py"
    done = outcome("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", program, tmp_path, "ddp")
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text())["ddp"] for rank in (0, 1))
    assert first["weights"] == second["weights"]
    assert_close(first["weights"], by_hand(1))
    assert first["pid"] != second["pid"]
