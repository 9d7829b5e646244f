"""Which losses are jumps, and what is left of them."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from fulmen_callbacks import SpikeDetection, TrainingSpikeException
from fulmen_interfaces import ConfigurationError, ReduceOp, SingleProcessCollectives, World


def spikes(callback: SpikeDetection, losses: list[float], trainer: Any) -> list[int]:
    found = []
    for index, loss in enumerate(losses):
        try:
            callback.on_train_batch_end(trainer, None, {"loss": torch.tensor(float(loss))}, None, index)  # type: ignore[arg-type]
        except TrainingSpikeException as spike:
            found.append(spike.batch_idx)
    return found


@pytest.mark.parametrize(
    ("settings", "losses", "expected"),
    [
        ({}, [1, 1, 1, 5, 1, 1], [3]),
        ({"warmup": 4}, [1, 1, 1, 5, 1, 1], []),
        ({}, [5, 1, 1, 1], []),
        ({"rtol": None, "atol": 2.0}, [1, 2, 3.1, 9, 1], [3]),
        ({"rtol": 2.0, "atol": 2.0}, [1, 2, 3.1, 9, 1], [3]),
        ({}, [1, math.nan, 1], [1]),
        ({"finite_only": False}, [1, math.nan, 1], []),
        ({"mode": "max", "rtol": 0.5}, [10, 1, 10, 1], [1, 3]),
        ({"window": 2}, [1, 1, 1, 1, 3.5, 3.5, 3.5, 12], [4, 5, 6, 7]),
        ({"window": 3, "rtol": 1.0}, [1, 1, 1, 2.5, 3, 8, 9, 30], [3, 4, 5, 6, 7]),
        ({}, [-1, -1, 5, -1], [2]),
    ],
)
def test_spikes_are_where_lightning_was_seen_to_find_them(
    settings: Any, losses: Any, expected: list[int], tmp_path: Path, make_trainer: Any
) -> None:
    path = tmp_path / "deep" / "exclude.json"
    callback = SpikeDetection(**settings, exclude_batches_path=path)
    assert spikes(callback, losses, make_trainer()) == expected
    bad = [number for index in expected for number in (index - 1, index)]
    assert callback.bad_batches == bad
    assert (json.loads(path.read_text()) if bad else path.exists()) == (bad or False)


def test_bad_batches_are_listed_in_a_folder(tmp_path: Path, make_trainer: Any) -> None:
    callback = SpikeDetection(exclude_batches_path=tmp_path)
    assert spikes(callback, [1, 1, 9], make_trainer()) == [2]
    assert json.loads((tmp_path / "skip_batches.json").read_text()) == [1, 2]


def test_a_restart_remembers(tmp_path: Path, make_trainer: Any) -> None:
    first = SpikeDetection(window=3, exclude_batches_path=tmp_path / "a.json")
    assert spikes(first, [1, 1, 9], make_trainer()) == [2]
    second = SpikeDetection(window=3)
    second.load_state_dict(first.state_dict())
    assert spikes(second, [9, 1], make_trainer()) == [0]
    assert second.bad_batches == [1, 2, 0]


def test_steps_without_loss_are_left_out(make_trainer: Any) -> None:
    callback = SpikeDetection()
    callback.on_train_batch_end(make_trainer(), None, {}, None, 0)  # type: ignore[arg-type]
    assert callback.state_dict()["seen"] == 0


def test_any_rank_stops_all(tmp_path: Path, make_trainer: Any) -> None:
    class OtherJumps(SingleProcessCollectives):
        def all_reduce(self, tensor: torch.Tensor, op: ReduceOp = ReduceOp.MEAN, *, group: Any = None) -> torch.Tensor:
            return torch.ones_like(tensor)

    trainer = make_trainer(world=World(rank=1, size=2), collectives=OtherJumps())
    path = tmp_path / "x.json"
    assert spikes(SpikeDetection(exclude_batches_path=path), [1.0], trainer) == [0]
    assert not path.exists()


def test_the_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(TrainingSpikeException(3, 5.0, 1.0)))
    assert (error.batch_idx, error.loss, error.usual) == (3, 5.0, 1.0)
    assert "batch 3 is 5, that of batches before was 1 on average" in str(error)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="window=0"):
        SpikeDetection(window=0)


def test_losses_of_one_fit_are_not_judged_by_those_of_another(make_trainer: Any) -> None:
    callback, trainer = SpikeDetection(), make_trainer()
    for losses in ([1, 1, 1], [9, 9, 9]):
        callback.setup(trainer, None, "fit")  # type: ignore[arg-type]
        assert spikes(callback, losses, trainer) == []
