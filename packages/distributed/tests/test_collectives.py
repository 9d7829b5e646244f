from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import pytest
import torch

from fulmen_accelerator_cpu import CPUAccelerator
from fulmen_distributed import MultiprocessingLauncher, ProcessGroup, TorchCollectives, VariablesEnvironment
from fulmen_interfaces import LaunchSettings, Placement, RankError, ReduceOp, World


def join(world: World, seconds: float = 60.0) -> TorchCollectives:
    placement = Placement(world, torch.device("cpu"), CPUAccelerator(), VariablesEnvironment())
    collectives = ProcessGroup(timeout=timedelta(seconds=seconds)).join(placement)
    assert isinstance(collectives, TorchCollectives)
    return collectives


def everything(world: World) -> list[dict[str, Any]]:
    together = join(world)
    own = torch.tensor([1.0, 2.0]) * (world.rank + 1)
    leaf = torch.tensor([1.0], requires_grad=True)
    gathered = together.all_gather(leaf * (world.rank + 1), sync_grads=True)
    # Each rank's loss weighs rank 0's part by 1 and rank 1's by 10, and counts (rank + 1) times.
    ((gathered.flatten() * torch.tensor([1.0, 10.0])).sum() * (world.rank + 1)).backward()
    found = {
        "reduced": {op.value: together.all_reduce(own, op).tolist() for op in ReduceOp},
        "whole_numbers": together.all_reduce(torch.tensor(world.rank)).item(),
        "own": own.tolist(),
        "stacked": together.all_gather(own).tolist(),
        "objects": together.gather_objects({"rank": world.rank}),
        "from_one": together.broadcast(f"rank {world.rank}", src=1),
        "gradient": leaf.grad.tolist() if leaf.grad is not None else None,
    }
    together.barrier("done")
    again = join(world)  # a second run in the same processes
    return again.gather_objects(found)


def test_two_processes_agree_on_every_operation() -> None:
    for rank, found in enumerate(MultiprocessingLauncher("fork").launch(everything, LaunchSettings(2))):
        assert found["reduced"] == {"mean": [1.5, 3.0], "sum": [3.0, 6.0], "min": [1.0, 2.0], "max": [2.0, 4.0]}
        assert found["whole_numbers"] == 0.5
        assert found["own"] == [1.0 * (rank + 1), 2.0 * (rank + 1)]
        assert found["stacked"] == [[1.0, 2.0], [2.0, 4.0]]
        assert found["objects"] == [{"rank": 0}, {"rank": 1}]
        assert found["from_one"] == "rank 1"
        # Both losses, 1 and 2 times, depend on this rank's part (weight 1 or 10), which is (rank + 1) times the leaf.
        assert found["gradient"] == [(1.0, 10.0)[rank] * 3 * (rank + 1)]


def one_stays_away(world: World) -> str:
    together = join(world, seconds=1.0)
    if world.rank == 1:
        return "away"
    try:
        together.barrier("validation")
    except RankError as error:
        return str(error)
    return "nobody was missing"


def test_a_barrier_says_who_did_not_come() -> None:
    message = MultiprocessingLauncher("fork").launch(one_stays_away, LaunchSettings(2))
    assert "at the barrier 'validation', but rank 1 did not come" in message


def killed(world: World) -> None:
    import os
    import signal

    if world.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    join(world)


def test_a_killed_process_is_named() -> None:
    with pytest.raises(RankError, match="Rank 1 was killed by SIGKILL"):
        MultiprocessingLauncher("fork").launch(killed, LaunchSettings(2))


def leaves_with_a_word(world: World) -> None:
    if world.rank == 1:
        sys.exit("there is no data")
    join(world)


def test_what_a_process_says_when_it_leaves_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RankError, match="Rank 1 ended with exit code 1"):
        MultiprocessingLauncher("fork").launch(leaves_with_a_word, LaunchSettings(2))
    assert "there is no data" in capfd.readouterr().err


def test_each_of_several_machines_gets_what_its_first_rank_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NODE_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert MultiprocessingLauncher("fork").launch(lambda world: world.rank, LaunchSettings(2, 2)) == 2


def test_what_cannot_be_pickled_cannot_be_spawned() -> None:
    with pytest.raises(Exception, match="use 'ddp' or 'ddp_fork'"):
        MultiprocessingLauncher("spawn").launch(lambda world: None, LaunchSettings(2))
