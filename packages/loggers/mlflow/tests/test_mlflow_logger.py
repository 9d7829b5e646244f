"""What the logger leaves in the store, read by MLflow's own client."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.tracking import MlflowClient

from fulmen_interfaces import LOGGERS, Catalogue, ConfigurationError
from fulmen_logger_mlflow import MLFLOW_SPEC, MLFlowLogger
from fulmen_testing import FakeCheckpoints


def client(store: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{store}/mlflow.db")


def the_run(store: Path) -> Any:
    reader = client(store)
    (run,) = reader.search_runs([one.experiment_id for one in reader.search_experiments()])
    return run


def history(store: Path, name: str) -> list[tuple[int, float]]:
    metrics = client(store).get_metric_history(the_run(store).info.run_id, name)
    return sorted((metric.step, metric.value) for metric in metrics)


def artifacts(store: Path) -> dict[str, str]:
    """The files of the run's artifacts and what they hold, fetched by MLflow."""
    root = store / "fetched"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    run_id = the_run(store).info.run_id
    if client(store).list_artifacts(run_id):
        client(store).download_artifacts(run_id, "", str(root))
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_the_entry_point_leads_to_the_spec_which_is_taken_on_request_only() -> None:
    found = Catalogue.installed().find(LOGGERS, "mlflow")
    assert found.spec is MLFLOW_SPEC
    assert found.spec.priority == 0


def test_nothing_happens_before_it_must(tmp_path: Path) -> None:
    logger = MLFlowLogger(save_dir=tmp_path)
    assert logger.save_dir == str(tmp_path)
    logger.finalize("failed")
    assert not list(tmp_path.iterdir())


def test_a_store_is_made_where_there_is_none(tmp_path: Path) -> None:
    logger = MLFlowLogger("digits", save_dir=tmp_path / "new" / "runs")
    logger.log_metrics({"loss": 0.5}, step=3)
    assert history(tmp_path / "new" / "runs", "loss") == [(3, 0.5)]


def test_names_tags_and_values_come_back_as_they_were(store: Path) -> None:
    logger = MLFlowLogger("digits", run_name="first", tags={"team": "a"}, save_dir=store, prefix="p")
    logger.log_metrics({"loss": 0.5, "val/acc": 0.25}, step=3)
    logger.log_metrics({"loss": 0.125}, step=4)
    run = the_run(store)
    assert (run.info.run_name, run.info.status, run.data.tags["team"]) == ("first", "RUNNING", "a")
    assert logger.name == logger.experiment_id == run.info.experiment_id
    assert logger.version == logger.run_id == run.info.run_id
    assert client(store).get_experiment(run.info.experiment_id).name == "digits"
    assert history(store, "p-loss") == [(3, 0.5), (4, 0.125)]
    assert history(store, "p-val/acc") == [(3, 0.25)]


def test_a_uri_comes_before_the_folder(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{store}/mlflow.db"
    for logger in (
        MLFlowLogger(tracking_uri=uri),
        MLFlowLogger("given", tracking_uri=uri, artifact_location="file:/x"),
    ):
        assert logger.save_dir is None
        logger.log_metrics({"a": 1.0}, 0)
    given = client(store).get_experiment_by_name("given")
    assert given is not None
    assert given.artifact_location == "file:/x"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    named = MLFlowLogger("environment", save_dir="/nowhere")
    named.log_metrics({"a": 1.0}, 0)
    assert client(store).get_experiment_by_name("environment") is not None


def test_hyperparameters_are_flat_and_cut_to_what_fits(store: Path) -> None:
    logger = MLFlowLogger(save_dir=store)
    logger.log_hyperparams({"lr": 0.1, "data": {"path": Path("/x"), "none": None}, "odd*name": 1, "long": "x" * 9000})
    logger.log_hyperparams({f"many{number}": number for number in range(250)})
    params = the_run(store).data.params
    assert len(params.pop("long")) == 6000
    assert {name: params[name] for name in list(params) if not name.startswith("many")} == {
        "lr": "0.1",
        "data/path": "/x",
        "data/none": "None",
        "odd_name": "1",
    }
    assert {name for name in params if name.startswith("many")} == {f"many{number}" for number in range(250)}


def test_changed_hyperparameters_are_left_out_with_a_warning(store: Path) -> None:
    logger = MLFlowLogger(save_dir=store)
    logger.log_hyperparams({"lr": 0.1, "layers": 2})
    with pytest.warns(UserWarning, match="New values of lr are not logged"):
        logger.log_hyperparams({"lr": 0.2, "layers": 2, "new": True})
    assert the_run(store).data.params == {"lr": "0.1", "layers": "2", "new": "True"}


def test_names_that_are_not_allowed_are_changed_and_texts_left_out(store: Path) -> None:
    logger = MLFlowLogger(save_dir=store)
    text: Any = "hello"
    with pytest.warns(UserWarning, match="takes numbers"):
        logger.log_metrics({"acc@5": 1.0, "said": text}, 0)
    assert the_run(store).data.metrics == {"acc_5": 1.0}


@pytest.mark.parametrize(
    ("status", "means"),
    [("finished", "FINISHED"), ("success", "FINISHED"), ("failed", "FAILED"), ("interrupted", "KILLED")],
)
def test_the_end_is_recorded(status: str, means: str, store: Path) -> None:
    logger = MLFlowLogger(save_dir=store)
    logger.log_metrics({"a": 1.0}, 0)
    logger.finalize(status)
    info = the_run(store).info
    assert info.status == means
    assert info.end_time is not None


def test_a_run_is_continued_by_its_id_and_open_meanwhile(store: Path) -> None:
    first = MLFlowLogger("digits", save_dir=store)
    first.log_metrics({"a": 0.0}, 0)
    first.finalize("failed")
    again = MLFlowLogger(save_dir=store, run_id=first.run_id)
    assert the_run(store).info.status == "FAILED"
    again.log_metrics({"a": 1.0}, 1)
    assert the_run(store).info.status == "RUNNING"
    again.finalize("finished")
    assert the_run(store).info.status == "FINISHED"
    assert again.name == first.name
    assert history(store, "a") == [(0, 0.0), (1, 1.0)]


def test_what_is_sent_without_waiting_is_there_at_the_end(store: Path) -> None:
    logger = MLFlowLogger(save_dir=store, synchronous=False)
    logger.log_hyperparams({"lr": 0.1})
    for step in range(20):
        logger.log_metrics({"a": float(step)}, step)
    logger.finalize("finished")
    assert history(store, "a") == [(step, float(step)) for step in range(20)]
    assert the_run(store).data.params == {"lr": "0.1"}


def test_a_copy_writes_to_the_same_run(store: Path) -> None:
    logger = MLFlowLogger(save_dir=store)
    logger.log_metrics({"a": 0.0}, 0)
    copy: MLFlowLogger = pickle.loads(pickle.dumps(logger))
    copy.log_metrics({"a": 1.0}, 1)
    assert history(store, "a") == [(0, 0.0), (1, 1.0)]


def test_checkpoints_are_kept_at_the_end(store: Path) -> None:
    kept = FakeCheckpoints(save_top_k=2)
    logger = MLFlowLogger(save_dir=store, log_model=True, checkpoint_path_prefix="model")
    kept.save(store / "a.ckpt", 0.5, when=1)
    logger.after_save_checkpoint(kept)
    kept.save(store / "b.ckpt", 0.25, when=2)
    kept.last_model_path = str(store / "last.ckpt")
    os.symlink(store / "b.ckpt", kept.last_model_path)
    logger.log_metrics({"a": 1.0}, 0)
    assert not artifacts(store)
    logger.finalize("success")
    found = artifacts(store)
    assert sorted(found) == sorted(
        f"model/{name}/{file}" for name in "ab" for file in (f"{name}.ckpt", "metadata.yaml", "aliases.txt")
    )
    assert found["model/b/b.ckpt"] == "weights of 0.25"
    assert found["model/a/aliases.txt"] == "['latest']"
    assert found["model/b/aliases.txt"] == "['latest', 'best']"
    settings = {"monitor": "val_loss", "mode": "min", "save_top_k": 2}
    assert yaml.safe_load(found["model/b/metadata.yaml"]) == {
        "original_filename": "b.ckpt",
        "score": 0.25,
        "FakeCheckpoints": settings,
    }
    assert (store / "artifacts" / str(logger.run_id)).is_dir()


@pytest.mark.parametrize(("log_model", "save_top_k"), [("all", 1), (True, -1)])
def test_checkpoints_are_kept_at_once(log_model: Any, save_top_k: int, store: Path) -> None:
    logger, kept = MLFlowLogger(save_dir=store, log_model=log_model), FakeCheckpoints(save_top_k)
    for when, score in enumerate((0.5, 0.25)):
        kept.save(store / "a.ckpt", score, when=when)
        logger.after_save_checkpoint(kept)
        assert artifacts(store)["a/a.ckpt"] == f"weights of {score}"


def test_a_checkpoint_may_be_a_folder(store: Path) -> None:
    logger, kept = MLFlowLogger(save_dir=store, log_model="all"), FakeCheckpoints()
    (store / "a.ckpt").mkdir()
    (store / "a.ckpt" / "shard").write_text("part")
    kept.best_model_path = str(store / "a.ckpt")
    logger.after_save_checkpoint(kept)
    assert artifacts(store)["a/a.ckpt/shard"] == "part"


def test_no_checkpoint_is_kept_unasked(store: Path) -> None:
    logger, kept = MLFlowLogger(save_dir=store), FakeCheckpoints()
    kept.save(store / "a.ckpt", 0.5, when=1)
    logger.log_metrics({"a": 1.0}, 0)
    logger.after_save_checkpoint(kept)
    logger.finalize("success")
    assert not artifacts(store)


def test_an_unknown_way_to_keep_checkpoints_is_refused() -> None:
    unknown: Any = "best"
    with pytest.raises(ConfigurationError, match="log_model='best'"):
        MLFlowLogger(log_model=unknown)


def test_other_ranks_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    logger = MLFlowLogger(save_dir=tmp_path, log_model="all")
    logger.log_hyperparams({"a": 1})
    logger.log_metrics({"a": 0.0}, 1)
    logger.experiment.log_text("run", "text", "file")
    logger.after_save_checkpoint(FakeCheckpoints())
    logger.finalize("success")
    assert (logger.name, logger.version) == (None, None)
    assert not list(tmp_path.iterdir())
