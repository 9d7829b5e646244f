"""What the logger leaves in its files, read by other libraries."""

from __future__ import annotations

import csv
import math
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from fulmen_interfaces import LOGGERS, Catalogue
from fulmen_logger_csv import CSV_SPEC, CSVLogger


def rows_of(logger: CSVLogger) -> list[dict[str, str]]:
    with open(os.path.join(logger.log_dir, "metrics.csv"), newline="") as file:
        return list(csv.DictReader(file))


def test_the_entry_point_leads_to_the_spec() -> None:
    found = Catalogue.installed().find(LOGGERS, "csv")
    assert found.spec is CSV_SPEC
    assert found.spec.priority == 50


def test_files_lie_where_they_are_expected(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    assert logger.log_dir == str(tmp_path / "fulmen_logs" / "version_0")
    logger.log_hyperparams({"lr": 0.1})
    logger.log_metrics({"loss": 1.0}, step=0)
    assert not list(tmp_path.iterdir()), "nothing is written before it must be"
    logger.save()
    assert sorted(path.name for path in Path(logger.log_dir).iterdir()) == ["hparams.yaml", "metrics.csv"]


def test_versions_count_up_and_may_be_named(tmp_path: Path) -> None:
    for number in (0, 1, 7):
        (tmp_path / "exp" / f"version_{number}").mkdir(parents=True)
    (tmp_path / "exp" / "version_12.bak").mkdir()
    (tmp_path / "exp" / "version_99").touch()
    assert CSVLogger(tmp_path, name="exp").version == 8
    assert CSVLogger(tmp_path, name="exp", version=3).log_dir == str(tmp_path / "exp" / "version_3")
    assert CSVLogger(tmp_path, name="exp", version="blue").log_dir == str(tmp_path / "exp" / "blue")
    assert CSVLogger(tmp_path, name=None, version="blue").log_dir == str(tmp_path / "blue")


def test_numbers_come_back_as_they_were(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"a": 0.1, "b": math.nan, "c": -math.inf, "epoch": 3}, step=11)
    logger.save()
    (row,) = rows_of(logger)
    assert float(row["a"]) == 0.1
    assert math.isnan(float(row["b"]))
    assert float(row["c"]) == -math.inf
    assert (row["epoch"], row["step"]) == ("3", "11")


def test_columns_may_come_later(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    written = [{"z": 0.0}, {"z": 1.0, "a": 2.0}, {"m": 3.0}, {"z": 4.0}]
    for step, metrics in enumerate(written):
        logger.log_metrics(metrics, step)
        if step % 2:
            logger.save()
    logger.finalize("finished")
    read = [{name: float(text) for name, text in row.items() if text} for row in rows_of(logger)]
    assert read == [{**metrics, "step": step} for step, metrics in enumerate(written)]


def test_columns_are_sorted(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"z": 0.0, "epoch": 0, "a,b": 1.0}, 0)
    logger.save()
    assert list(rows_of(logger)[0]) == ["a,b", "epoch", "step", "z"]


def test_a_step_that_is_not_given_is_counted(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"a": 0.0})
    logger.log_metrics({"a": 0.0}, step=10)
    logger.save()
    logger.log_metrics({"a": 0.0})
    logger.save()
    assert [row["step"] for row in rows_of(logger)] == ["0", "10", "11"]


def test_it_flushes_by_itself_at_every_nth_step(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=3)
    for step in range(2):
        logger.log_metrics({"a": 0.0}, step)
    assert not os.path.exists(logger.log_dir)
    for step in range(2, 5):
        logger.log_metrics({"a": 0.0}, step)
    assert len(rows_of(logger)) == 3


def test_the_prefix_is_part_of_every_name(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, prefix="fold1")
    logger.log_metrics({"loss": 1.0}, 0)
    logger.save()
    assert list(rows_of(logger)[0]) == ["fold1-loss", "step"]


def test_hyperparameters_are_plain_and_merged(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_hyperparams({"path": Path("/data"), "layers": (1, 2), "f": math.sqrt, "tiny": 1e-05, "no": "no"})
    logger.save()
    logger.log_hyperparams({"tiny": 2e-05, "nested": {"a": None}})
    logger.finalize("finished")
    with open(os.path.join(logger.log_dir, "hparams.yaml")) as file:
        read = yaml.safe_load(file)
    assert read == {
        "path": "/data",
        "layers": [1, 2],
        "f": "math.sqrt",
        "tiny": 2e-05,
        "no": "no",
        "nested": {"a": None},
    }


def test_a_new_run_takes_a_new_version_and_a_named_one_is_continued(tmp_path: Path) -> None:
    first = CSVLogger(tmp_path)
    first.log_metrics({"a": 0.0}, 0)
    first.finalize("finished")
    second = CSVLogger(tmp_path)
    second.log_metrics({"a": 1.0}, 0)
    second.finalize("finished")
    again = CSVLogger(tmp_path, version=0)
    again.log_metrics({"a": 2.0, "b": 3.0}, 1)
    again.finalize("finished")
    assert [row["a"] for row in rows_of(first)] == ["0.0", "2.0"]
    assert [row["a"] for row in rows_of(second)] == ["1.0"]


def test_a_line_that_was_cut_off_is_dropped_when_continued(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, version=0)
    logger.log_metrics({"a": 0.0}, 0)
    logger.finalize("failed")
    with open(os.path.join(logger.log_dir, "metrics.csv"), "a") as file:
        file.write("1.0")
    again = CSVLogger(tmp_path, version=0)
    again.log_metrics({"a": 2.0}, 2)
    again.finalize("finished")
    assert [(row["a"], row["step"]) for row in rows_of(again)] == [("0.0", "0"), ("2.0", "2")]


def test_logging_goes_on_after_finalize(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    for step in range(2):
        logger.log_metrics({"a": 0.0}, step)
        logger.finalize("finished")
    assert len(rows_of(logger)) == 2


def test_a_copy_in_another_process_goes_on_in_the_same_file(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, version=0)
    logger.log_metrics({"a": 0.0}, 0)
    logger.save()
    logger.log_metrics({"a": 1.0}, 1)
    copy: CSVLogger = pickle.loads(pickle.dumps(logger))
    copy.log_metrics({"a": 2.0}, 2)
    copy.save()
    assert [row["a"] for row in rows_of(copy)] == ["0.0", "1.0", "2.0"]


def test_nothing_saved_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        from fulmen_logger_csv import CSVLogger
        logger = CSVLogger({str(tmp_path)!r}, version=0)
        for step in range(5):
            logger.log_metrics({{"a": step, f"late{{step // 2}}": 1.0}}, step)
            logger.save()
        logger.log_metrics({{"a": 5}}, 5)
        print("ready", flush=True)
        import time; time.sleep(60)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert [row["step"] for row in rows_of(CSVLogger(tmp_path, version=0))] == ["0", "1", "2", "3", "4"]


def test_other_ranks_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    logger = CSVLogger(tmp_path)
    logger.log_hyperparams({"a": 1})
    logger.log_metrics({"a": 0.0}, 99)
    logger.experiment.log_metrics({"a": 0.0}, 99)
    logger.experiment.save()
    logger.finalize("finished")
    assert not list(tmp_path.iterdir())


def test_a_url_is_written_through_fsspec() -> None:
    fsspec: Any = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    for step in range(3):
        logger = CSVLogger("memory://csv-logger-test", version=4)
        logger.log_metrics({"a": float(step), f"b{step}": 1.0}, step)
        logger.log_hyperparams({"x": 1})
        logger.finalize("finished")
    text = files.cat_file("memory://csv-logger-test/fulmen_logs/version_4/metrics.csv").decode()
    assert [row["a"] for row in csv.DictReader(text.splitlines())] == ["0.0", "1.0", "2.0"]
    assert CSVLogger("memory://csv-logger-test").version == 5
    assert files.cat_file("memory://csv-logger-test/fulmen_logs/version_4/hparams.yaml") == b"x: 1\n"
