"""What the logger leaves in the file of an offline run, and what it never does."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import wandb
from PIL import Image
from wandb_cases import records_of

from fulmen_interfaces import LOGGERS, Catalogue, ConfigurationError
from fulmen_logger_wandb import WANDB_SPEC, WandbLogger
from fulmen_testing import FakeCheckpoints


@dataclass
class Written:
    """What lies in the file of a run."""

    project: str = ""
    name: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Any] = field(default_factory=list)
    metrics: dict[str, str] = field(default_factory=dict)


def written(root: Path, run_id: str) -> Written:
    """End all runs and read one."""
    found = Written()
    for record in records_of(root, run_id):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.project, found.name = record.run.project, record.run.display_name
            found.config.update(values(record.run.config.update))
        elif kind == "config":
            found.config.update(values(record.config.update))
        elif kind == "history":
            row = values(record.history.item)
            found.rows.append({name: value for name, value in row.items() if not name.startswith("_")})
        elif kind == "artifact":
            found.artifacts.append(record.artifact)
        elif kind == "metric":
            found.metrics[record.metric.name or record.metric.glob_name] = record.metric.step_metric
    found.config.pop("_wandb", None)
    return found


def values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def contents(artifact: Any) -> list[tuple[str, str]]:
    return [(one.path, Path(one.local_path).read_text()) for one in artifact.manifest.contents]


def test_the_entry_point_leads_to_the_spec_which_is_taken_on_request_only() -> None:
    found = Catalogue.installed().find(LOGGERS, "wandb")
    assert found.spec is WANDB_SPEC
    assert found.spec.priority == 0


def test_nothing_happens_before_it_must(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path)
    assert logger.name == "fulmen_logs"
    assert logger.version == logger.version
    assert logger.save_dir == str(tmp_path)
    logger.finalize("failed")
    assert wandb.run is None
    assert not list(tmp_path.iterdir())


def test_names_and_values_come_back_as_they_were(tmp_path: Path) -> None:
    logger = WandbLogger(name="first", dir=tmp_path / "new", project="mnist", version="abc", prefix="p", tags=["x"])
    logger.log_hyperparams({"lr": 0.1, "data": {"path": Path("/x"), "none": None}})
    logger.log_hyperparams({"lr": 0.2})
    logger.log_metrics({"loss": 0.5}, step=3)
    logger.log_metrics({"loss": 0.25})
    assert (logger.name, logger.version, logger.experiment.id) == ("mnist", "abc", "abc")
    assert logger.experiment.tags == ("x",)
    logger.finalize("finished")
    logger.log_metrics({"later": 1.0}, step=4)
    found = written(tmp_path / "new", "abc")
    assert (found.project, found.name) == ("mnist", "first")
    assert found.config == {"lr": 0.2, "data": {"path": "/x", "none": None}}
    assert found.rows == [
        {"p-loss": 0.5, "trainer/global_step": 3},
        {"p-loss": 0.25, "trainer/global_step": 3},  # it belongs to the newest step
        {"p-later": 1.0, "trainer/global_step": 4},
    ]
    assert found.metrics == {"trainer/global_step": "", "*": "trainer/global_step"}


def test_offline_is_offline_whatever_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    assert WandbLogger(save_dir=tmp_path, offline=True).experiment.offline


def test_a_run_of_the_user_is_taken_but_not_with_another_id(tmp_path: Path) -> None:
    run = wandb.init(dir=tmp_path, project="sweep", id="user")
    with pytest.warns(UserWarning, match="in progress"):
        assert WandbLogger(save_dir=tmp_path).experiment is run
    given = WandbLogger(save_dir=tmp_path, experiment=run)
    assert (given.experiment, given.name, given.version) == (run, "sweep", "user")
    other = WandbLogger(save_dir=tmp_path, id="other")
    other.log_metrics({"a": 1.0}, 0)
    run.log({"b": 2.0, "trainer/global_step": 7})
    assert written(tmp_path, "other").rows == [{"a": 1.0, "trainer/global_step": 0}]
    assert written(tmp_path, "user").rows == [{"b": 2.0, "trainer/global_step": 7}]


def test_two_loggers_have_a_run_each(tmp_path: Path) -> None:
    first, second = WandbLogger(save_dir=tmp_path), WandbLogger(save_dir=tmp_path)
    first.log_metrics({"a": 1.0}, 0)
    second.log_metrics({"a": 2.0}, 0)
    first.log_metrics({"a": 3.0}, 1)
    ids = [str(first.version), str(second.version)]
    assert [[row["a"] for row in written(tmp_path, one).rows] for one in ids] == [[1.0, 3.0], [2.0]]


def test_tables_texts_and_images_are_kept(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path, id="media")
    logger.log_table("table", columns=["a", "b"], data=[[1, 2], [3, 4]], step=1)
    logger.log_text("text", columns=["said"], data=[["hello"]])
    black, white = (numpy.full((4, 5, 3), value, dtype=numpy.uint8) for value in (0, 255))
    logger.log_image("picture", [black, white], step=2, caption=["one", "two"])
    table, text, pictures = written(tmp_path, "media").rows
    (files,) = tmp_path.glob("wandb/offline-run-*/files")
    assert json.loads((files / table["table/path"]).read_text()) == {"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}
    assert table["trainer/global_step"] == 1
    assert json.loads((files / text["text/path"]).read_text()) == {"columns": ["said"], "data": [["hello"]]}
    assert (pictures["picture/captions"], pictures["trainer/global_step"]) == (["one", "two"], 2)
    kept = [numpy.asarray(Image.open(files / name)) for name in pictures["picture/filenames"]]
    assert [picture.shape for picture in kept] == [(4, 5, 3), (4, 5, 3)]
    assert [picture.mean() for picture in kept] == [0, 255]


def test_media_come_in_lists_with_one_setting_each(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path)
    with pytest.raises(TypeError, match="Pass a list"):
        logger.log_image("picture", "a.png")
    with pytest.raises(ValueError, match="Pass a list of 1"):
        logger.log_image("picture", ["a.png"], caption=["one", "two"])


def test_a_watched_model_leaves_histograms_until_it_is_not_watched(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path, id="watch")
    model = torch.nn.Linear(2, 1)
    logger.watch(model, log_freq=1, log_graph=False)
    for step in range(2):
        model(torch.ones(1, 2)).sum().backward()
        logger.log_metrics({"loss": float(step)}, step)
        logger.unwatch(model)
    rows = written(tmp_path, "watch").rows
    assert [any(name.startswith("gradients/") for name in row) for row in rows] == [True, False]


def test_checkpoints_are_kept_at_the_end_of_a_successful_run(tmp_path: Path) -> None:
    logger, kept = WandbLogger(save_dir=tmp_path, id="end", log_model=True), FakeCheckpoints(save_top_k=2)
    kept.save(tmp_path / "a.ckpt", 0.5, when=1)
    logger.after_save_checkpoint(kept)
    kept.save(tmp_path / "b.ckpt", 0.25, when=2)
    kept.last_model_path = str(tmp_path / "last.ckpt")
    os.symlink(tmp_path / "b.ckpt", kept.last_model_path)
    logger.after_save_checkpoint(kept)
    assert wandb.run is None
    logger.finalize("success")
    logger.finalize("success")
    first, second = written(tmp_path, "end").artifacts
    assert (first.name, first.type, list(first.aliases)) == ("model-end", "model", ["latest"])
    assert sorted(second.aliases) == ["best", "latest"]
    assert contents(first) == [("model.ckpt", "weights of 0.5")]
    assert contents(second) == [("model.ckpt", "weights of 0.25")]
    settings = {"monitor": "val_loss", "mode": "min", "save_top_k": 2}
    assert json.loads(second.metadata) == {"original_filename": "b.ckpt", "score": 0.25, "FakeCheckpoints": settings}


@pytest.mark.parametrize(("log_model", "save_top_k"), [("all", 1), (True, -1)])
def test_checkpoints_are_kept_at_once(log_model: Any, save_top_k: int, tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path, id="all", log_model=log_model, checkpoint_name="net")
    kept = FakeCheckpoints(save_top_k)
    kept.save(tmp_path / "a.ckpt", 0.5, when=1)
    logger.after_save_checkpoint(kept)
    logger.after_save_checkpoint(kept)
    kept.save(tmp_path / "a.ckpt", 0.25, when=2)
    logger.after_save_checkpoint(kept)
    artifacts = written(tmp_path, "all").artifacts
    assert [one.name for one in artifacts] == ["net", "net"]
    assert [contents(one)[0][1] for one in artifacts] == ["weights of 0.5", "weights of 0.25"]


def test_a_checkpoint_may_be_a_folder(tmp_path: Path) -> None:
    logger, kept = WandbLogger(save_dir=tmp_path, id="folder", log_model="all"), FakeCheckpoints()
    (tmp_path / "a.ckpt").mkdir()
    (tmp_path / "a.ckpt" / "shard").write_text("part")
    kept.best_model_path = str(tmp_path / "a.ckpt")
    logger.after_save_checkpoint(kept)
    (artifact,) = written(tmp_path, "folder").artifacts
    assert contents(artifact) == [("model.ckpt/shard", "part")]


@pytest.mark.parametrize(("log_model", "status"), [(False, "success"), (True, "failed"), (True, "interrupted")])
def test_no_checkpoint_is_kept_otherwise(log_model: bool, status: str, tmp_path: Path) -> None:
    logger, kept = WandbLogger(save_dir=tmp_path, id="none", log_model=log_model), FakeCheckpoints()
    kept.save(tmp_path / "a.ckpt", 0.5, when=1)
    logger.log_metrics({"a": 1.0}, 0)
    logger.after_save_checkpoint(kept)
    logger.finalize(status)
    assert not written(tmp_path, "none").artifacts


def test_an_unknown_way_to_keep_checkpoints_is_refused() -> None:
    unknown: Any = "best"
    with pytest.raises(ConfigurationError, match="log_model='best'"):
        WandbLogger(log_model=unknown)


def test_a_copy_in_another_process_writes_to_the_same_run(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path, id="copy")
    logger.log_metrics({"a": 0.0}, 0)
    (tmp_path / "logger.pickle").write_bytes(pickle.dumps(logger))
    program = textwrap.dedent(
        f"""
        import pickle
        logger = pickle.loads(open({str(tmp_path / "logger.pickle")!r}, "rb").read())
        logger.log_metrics({{"a": 1.0}}, 1)
        """
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    logger.log_metrics({"a": 2.0}, 2)
    assert [row["a"] for row in written(tmp_path, "copy").rows] == [0.0, 1.0, 2.0]


def silent(logger: WandbLogger) -> list[Callable[[], object]]:
    return [
        lambda: logger.log_hyperparams({"a": 1}),
        lambda: logger.log_metrics({"a": 0.0}, 1),
        lambda: logger.log_table("t", ["a"], [[1]]),
        lambda: logger.log_image("i", ["a.png"]),
        lambda: logger.watch(torch.nn.Linear(1, 1)),
        lambda: logger.experiment.log({"a": 1}),
        lambda: logger.after_save_checkpoint(FakeCheckpoints()),
        lambda: logger.finalize("success"),
    ]


def test_other_ranks_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    logger = WandbLogger(save_dir=tmp_path, log_model="all")
    for call in silent(logger):
        call()
    assert logger.version is None
    assert wandb.run is None
    assert not list(tmp_path.iterdir())


class Server:
    """In the place of what asks wandb's server for artifacts."""

    def __init__(self, asked: list[Any]) -> None:
        self.asked = asked

    def artifact(self, name: str, type: str | None = None) -> Any:
        self.asked += [name, type]
        return self

    def download(self, root: str | None = None) -> str:
        self.asked.append(root)
        return root or "chosen"


def test_artifacts_are_downloaded_on_rank_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(wandb, "Api", lambda: Server(asked))
    assert WandbLogger.download_artifact("team/net:best", tmp_path, "model") == str(tmp_path)
    assert WandbLogger.download_artifact("team/net:v1", use_artifact=False) == "chosen"
    assert asked == ["team/net:best", "model", str(tmp_path), "team/net:v1", None, None]
    monkeypatch.setenv("RANK", "1")
    assert WandbLogger.download_artifact("team/net:best") is None
    assert len(asked) == 6


def test_a_download_is_recorded_by_the_run_in_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Any] = []

    class Running:
        def use_artifact(self, name: str, type: str | None = None) -> Server:
            used.append((name, type))
            return Server([])

    monkeypatch.setattr(wandb, "run", Running())
    assert WandbLogger.download_artifact("net:best") == "chosen"
    assert used == [("net:best", None)]
