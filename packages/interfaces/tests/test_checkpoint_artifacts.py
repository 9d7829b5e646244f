"""Which checkpoints a logger keeps, and when, decided from real files."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from fulmen_interfaces import CheckpointArtifacts, CheckpointCallback, ConfigurationError, RankedCheckpoints


class Last:
    """A checkpoint callback that knows its best and its newest, and no more."""

    def __init__(self) -> None:
        self.best_model_path = ""
        self.last_model_path = ""


class Ranked(Last):
    """One that ranks by a score."""

    monitor: str | None = "val_loss"
    mode = "min"

    def __init__(self, save_top_k: int = 2) -> None:
        super().__init__()
        self.save_top_k = save_top_k
        self.best_k_models: dict[str, float] = {}

    def save(self, path: Path, score: float, *, when: int) -> None:
        write(path, when)
        self.best_k_models[str(path)] = score
        self.best_model_path = min(self.best_k_models, key=self.best_k_models.__getitem__)


def write(path: Path, when: int) -> None:
    path.touch()
    os.utime(path, (when, when))


def paths(checkpoints: Any) -> list[str]:
    return [os.path.basename(saved.path) for saved in checkpoints]


def test_only_callbacks_with_scores_are_ranked() -> None:
    assert isinstance(Last(), CheckpointCallback)
    assert not isinstance(Last(), RankedCheckpoints)
    assert isinstance(Ranked(), RankedCheckpoints)


def test_each_comes_as_soon_as_it_is_saved_and_again_only_when_it_is_written_anew(tmp_path: Path) -> None:
    artifacts, callback = CheckpointArtifacts("all"), Ranked()
    callback.save(tmp_path / "a", 0.5, when=1)
    assert paths(artifacts.after_save(callback)) == ["a"]
    assert artifacts.after_save(callback) == []
    callback.save(tmp_path / "a", 0.25, when=2)
    assert [(saved.score, saved.written) for saved in artifacts.after_save(callback)] == [(0.25, 2.0)]
    assert artifacts.at_end() == []


def test_the_end_brings_what_is_there_then_the_oldest_first(tmp_path: Path) -> None:
    artifacts, callback = CheckpointArtifacts(True), Ranked()
    for name, score, when in (("b", 0.5, 3), ("gone", 0.75, 1), ("a", 0.25, 2)):
        callback.save(tmp_path / name, score, when=when)
        assert artifacts.after_save(callback) == []
    (tmp_path / "gone").unlink()
    assert paths(artifacts.at_end()) == ["a", "b"]
    assert artifacts.at_end() == []


def test_what_waits_may_be_discarded_and_come_after_the_next_save(tmp_path: Path) -> None:
    artifacts, callback = CheckpointArtifacts(True), Ranked()
    callback.save(tmp_path / "a", 0.5, when=1)
    artifacts.after_save(callback)
    artifacts.discard()
    assert artifacts.at_end() == []
    artifacts.after_save(callback)
    assert paths(artifacts.at_end()) == ["a"]


def test_nobody_waits_for_the_end_where_no_checkpoint_ever_goes(tmp_path: Path) -> None:
    callback = Ranked(save_top_k=-1)
    callback.save(tmp_path / "a", 0.5, when=1)
    assert paths(CheckpointArtifacts(True).after_save(callback)) == ["a"]
    assert CheckpointArtifacts(False).after_save(callback) == []


def test_none_is_kept_unasked(tmp_path: Path) -> None:
    artifacts, callback = CheckpointArtifacts(False), Ranked()
    callback.save(tmp_path / "a", 0.5, when=1)
    assert artifacts.after_save(callback) == []
    assert artifacts.at_end() == []


def test_links_count_as_what_they_lead_to_and_what_lies_elsewhere_is_left_out(tmp_path: Path) -> None:
    callback = Last()
    write(tmp_path / "a", 1)
    (tmp_path / "last").symlink_to(tmp_path / "a")
    callback.best_model_path, callback.last_model_path = str(tmp_path / "a"), str(tmp_path / "last")
    assert paths(CheckpointArtifacts("all").after_save(callback)) == ["a"]
    callback.best_model_path = callback.last_model_path = "s3://bucket/a"
    assert CheckpointArtifacts("all").after_save(callback) == []


def test_a_checkpoint_says_what_it_is(tmp_path: Path) -> None:
    callback = Ranked()
    callback.save(tmp_path / "a", 0.25, when=1)
    callback.save(tmp_path / "b", 0.5, when=2)
    best, other = CheckpointArtifacts("all").after_save(callback)
    assert (best.aliases, other.aliases) == (["latest", "best"], ["latest"])
    settings = {"monitor": "val_loss", "mode": "min", "save_top_k": 2}
    assert best.metadata == {"original_filename": "a", "score": 0.25, "Ranked": settings}


def test_without_scores_little_is_said(tmp_path: Path) -> None:
    callback = Last()
    write(tmp_path / "a", 1)
    callback.last_model_path = str(tmp_path / "a")
    (saved,) = CheckpointArtifacts("all").after_save(callback)
    assert (saved.is_best, saved.score, saved.metadata) == (False, None, {"original_filename": "a"})


def test_a_copy_remembers_what_was_kept(tmp_path: Path) -> None:
    artifacts, callback = CheckpointArtifacts("all"), Ranked()
    callback.save(tmp_path / "a", 0.5, when=1)
    artifacts.after_save(callback)
    copy: CheckpointArtifacts = pickle.loads(pickle.dumps(artifacts))
    assert copy.after_save(callback) == []


def test_another_way_to_keep_checkpoints_is_refused() -> None:
    unknown: Any = "best"
    with pytest.raises(ConfigurationError, match="log_model='best'"):
        CheckpointArtifacts(unknown)
