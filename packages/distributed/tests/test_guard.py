from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from fulmen_accelerator_cpu import CPUAccelerator
from fulmen_distributed import (
    GuardedCollectives,
    MultiprocessingLauncher,
    ProcessGroup,
    TorchCollectives,
    VariablesEnvironment,
    guarded,
)
from fulmen_interfaces import Collectives, DivergenceError, LaunchSettings, Placement, World

VARIABLE = "FULMEN_DEBUG_COLLECTIVES"


@pytest.fixture(autouse=True)
def asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")


def join(world: World) -> Collectives:
    placement = Placement(world, torch.device("cpu"), CPUAccelerator(), VariablesEnvironment())
    return ProcessGroup(timeout=timedelta(seconds=60)).join(placement)


def on_two(main: object) -> object:
    return MultiprocessingLauncher("fork").launch(main, LaunchSettings(2))  # type: ignore[arg-type]


def agreeing(world: World) -> list[object]:
    together = join(world)
    assert isinstance(together, GuardedCollectives)
    alone = [dist.new_group([rank]) for rank in (0, 1)]
    for _ in range(world.rank + 1):  # within a group of its own, a rank may do what it likes
        together.all_reduce(torch.ones(1), group=alone[world.rank])
    values = []
    if world.rank == 0:  # ranks may call the same from different lines of one function
        values.append(together.broadcast("from zero"))
    else:
        values.append(together.broadcast("from one"))
    together.barrier("here")
    return [*values, together.all_reduce(torch.tensor(2.0 * world.rank)).item(), together.gather_objects(world.rank)]


def test_the_same_operations_give_the_same_results() -> None:
    assert on_two(agreeing) == ["from zero", 1.0, [0, 1]]


def parting(world: World) -> None:
    together = join(world)
    if world.rank == 0:
        together.all_gather(torch.ones(3))  # zero
    else:
        together.barrier("end")  # one


def lines_with(*marks: str) -> list[int]:
    text = Path(__file__).read_text().splitlines()
    return [number for mark in marks for number, line in enumerate(text, 1) if line.endswith(f"# {mark}")]


def test_different_operations_are_shown_with_their_lines() -> None:
    with pytest.raises(DivergenceError) as raised:
        on_two(parting)
    zero, one = lines_with("zero", "one")
    text = str(raised.value)
    assert f"rank 0 is at {__file__}:{zero} in parting (operation 0: all_gather (float32 [3]))" in text
    assert f"rank 1 is at {__file__}:{one} in parting (operation 0: barrier 'end')" in text


def leaving(world: World) -> None:
    together = join(world)
    together.barrier("begin")
    if world.rank == 1:
        return
    together.barrier("end")


def test_a_rank_that_left_is_not_waited_for() -> None:
    with pytest.raises(DivergenceError, match=r"Rank 1 came to the end without operation 1: barrier 'end'"):
        on_two(leaving)


def waiting(world: World) -> None:
    join(world)
    if world.rank == 0:
        dist.barrier()  # past the guard
    else:
        dist.recv(torch.ones(1), src=0)


def test_ranks_that_wait_without_the_guard_are_found(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DivergenceError, match=r"(?s)All ranks wait.*rank 0 is at.*rank 1 is at"):
        on_two(waiting)
    assert f"{__file__}:{lines_with('past the guard')[0]} in waiting" in capfd.readouterr().err


def test_operations_are_listed_where_a_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "ledger"))
    on_two(agreeing)
    for rank in (0, 1):
        entries = [json.loads(line) for line in (tmp_path / "ledger" / f"rank-{rank}.jsonl").read_text().splitlines()]
        shared = [entry for entry in entries if entry["operation"] != "all_reduce"]
        assert [entry["operation"] for entry in shared] == ["broadcast", "barrier", "gather_objects"]
        assert all(__file__ in entry["where"] for entry in entries)


def without(world: World) -> list[str]:
    os.environ[VARIABLE] = "0"
    return [type(join(world)).__name__]


def test_nothing_is_put_around_the_operations_where_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_two(without) == ["TorchCollectives"]

    def call(loss: Tensor) -> None:
        raise AssertionError

    plain = TorchCollectives(timeout=timedelta(seconds=1))
    assert guarded(plain, call, name="n", which=str, when=bool, module=nn.Linear(1, 1)) is call
