"""What the logger leaves in event files, read by TensorBoard's own reader."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from torch.utils.tensorboard import SummaryWriter

from fulmen_interfaces import LOGGERS, Catalogue
from fulmen_logger_tensorboard import TENSORBOARD_SPEC, TensorBoardLogger


def read(logger: TensorBoardLogger) -> EventAccumulator:
    events = EventAccumulator(logger.log_dir, size_guidance={"images": 0, "histograms": 0})
    events.Reload()
    return events


def scalars(logger: TensorBoardLogger) -> dict[str, list[tuple[int, float]]]:
    """The points of each curve by step.

    The reader goes through a folder by file names, which end in a process-wide count without leading zeros: of two
    files of one second it takes the tenth before the ninth.
    """
    events = read(logger)
    return {tag: sorted((one.step, one.value) for one in events.Scalars(tag)) for tag in events.Tags()["scalars"]}


def hparams_tab(logger: TensorBoardLogger) -> tuple[dict[str, Any], list[str]]:
    """The hyper-parameters and the metrics that the tab shows."""
    params: dict[str, Any] = {}
    metrics: list[str] = []
    for metadata in read(logger).summary_metadata.values():
        if metadata.plugin_data.plugin_name == "hparams":
            data = plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content)
            metrics += [info.name.tag for info in data.experiment.metric_infos]
            for name, value in data.session_start_info.hparams.items():
                params[name] = getattr(value, value.WhichOneof("kind"))
    return params, metrics


def test_the_entry_point_leads_to_the_spec() -> None:
    found = Catalogue.installed().find(LOGGERS, "tensorboard")
    assert found.spec is TENSORBOARD_SPEC
    assert found.spec.priority == 100


def test_files_lie_where_they_are_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TensorBoardLogger(tmp_path).log_dir == str(tmp_path / "fulmen_logs" / "version_0")
    for number in (0, 4):
        (tmp_path / "exp" / f"version_{number}").mkdir(parents=True)
    assert TensorBoardLogger(tmp_path, name="exp").version == 5
    assert TensorBoardLogger(tmp_path, name=None, version="blue").log_dir == str(tmp_path / "blue")
    nested = TensorBoardLogger(tmp_path, version=2, sub_dir="a/b")
    assert nested.log_dir == str(tmp_path / "fulmen_logs" / "version_2" / "a" / "b")
    assert nested.sub_dir == "a/b"
    monkeypatch.setenv("FOLD", "7")
    assert TensorBoardLogger(tmp_path, version=2, sub_dir="$FOLD").log_dir.endswith("version_2/7")
    assert not (tmp_path / "fulmen_logs").exists(), "nothing is written before it must be"


def test_numbers_come_back_as_they_were(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.log_metrics({"loss": 0.5, "val/acc": 0.25}, step=3)
    logger.log_metrics({"loss": 0.25}, step=4)
    logger.save()
    assert scalars(logger) == {"loss": [(3, 0.5), (4, 0.25)], "val/acc": [(3, 0.25)]}
    logger.log_metrics({"loss": 0.125}, step=5)
    logger.finalize("finished")
    assert scalars(logger)["loss"][-1] == (5, 0.125)


def test_a_mapping_becomes_several_curves(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, prefix="fold1")
    logger.log_metrics({"loss": {"train": 1.0, "val": 2.0}, "lr": 0.5}, step=0)
    logger.finalize("finished")
    assert scalars(logger) == {"fold1-lr": [(0, 0.5)]}
    assert sorted(path.name for path in Path(logger.log_dir).iterdir() if path.is_dir()) == [
        "fold1-loss_train",
        "fold1-loss_val",
    ]


def test_hyperparameters_come_to_a_file_and_to_the_tab(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    params = {"lr": 0.1, "layers": (1, 2), "data": {"path": Path("/x"), "none": None}, "flag": True}
    logger.log_hyperparams(params)
    logger.save()
    with open(os.path.join(logger.log_dir, "hparams.yaml")) as file:
        assert yaml.safe_load(file) == {
            "lr": 0.1,
            "layers": [1, 2],
            "data": {"path": "/x", "none": None},
            "flag": True,
        }
    shown = {"lr": 0.1, "layers": "[1, 2]", "data/path": "/x", "data/none": "None", "flag": True}
    assert hparams_tab(logger) == (shown, ["hp_metric"])
    assert scalars(logger) == {"hp_metric": [(0, -1.0)]}


def test_the_default_metric_is_written_once_and_can_be_off(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.log_hyperparams({"lr": 0.1})
    logger.log_metrics({"hp_metric": 0.5}, step=9)
    logger.log_hyperparams({"lr": 0.1})
    logger.save()
    assert scalars(logger) == {"hp_metric": [(0, -1.0), (9, 0.5)]}

    off = TensorBoardLogger(tmp_path, default_hp_metric=False)
    off.log_hyperparams({"lr": 0.1})
    off.log_metrics({"a": 1.0}, 0)
    off.save()
    assert scalars(off) == {"a": [(0, 1.0)]}
    assert hparams_tab(off) == ({}, [])


def test_metrics_to_compare_by_may_be_given(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, prefix="p")
    logger.log_hyperparams({"lr": 0.1}, {"hp/acc": 0.5, "hp/loss": 2.0})
    logger.save()
    assert hparams_tab(logger) == ({"lr": 0.1}, ["p-hp/acc", "p-hp/loss"])
    assert scalars(logger) == {"p-hp/acc": [(0, 0.5)], "p-hp/loss": [(0, 2.0)]}
    number = TensorBoardLogger(tmp_path)
    number.log_hyperparams({"lr": 0.1}, 7.0)
    number.save()
    assert scalars(number) == {"hp_metric": [(0, 7.0)]}


def test_the_experiment_takes_all_that_tensorboard_shows(tmp_path: Path) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    logger = TensorBoardLogger(tmp_path)
    assert isinstance(logger.experiment, SummaryWriter)
    logger.experiment.add_image("picture", torch.zeros(3, 4, 4), 1)
    logger.experiment.add_histogram("weights", torch.randn(10), 1)
    logger.experiment.add_figure("plot", pyplot.figure(), 1)
    logger.experiment.add_text("note", "hello", 1)
    logger.finalize("finished")
    tags = read(logger).Tags()
    assert tags["images"] == ["picture", "plot"]
    assert tags["histograms"] == ["weights"]
    assert tags["tensors"] == ["note/text_summary"]


class Net(torch.nn.Module):
    def __init__(self, example: Any = None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.example_input_array = example

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def test_the_graph_is_recorded_on_request(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, log_graph=True)
    logger.log_graph(Net(torch.zeros(1, 2)))
    logger.finalize("finished")
    assert read(logger).Tags()["graph"]
    off = TensorBoardLogger(tmp_path)
    off.log_graph(Net(torch.zeros(1, 2)))
    off.finalize("finished")
    assert not os.path.exists(off.log_dir)


def layers_of(logger: TensorBoardLogger) -> set[str]:
    events = read(logger)
    return {node.name for node in events.Graph().node}


class Guarded(torch.nn.Module):
    """Some of its attributes exist only at times, as those of modules that are trained do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.drop = torch.nn.Linear(2, 1), torch.nn.Dropout(0.5)
        self.drop.eval()

    @property
    def trainer(self) -> object:
        raise RuntimeError("not now")

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self.drop(self.layer(a + b))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "example",
    [(torch.ones(3, 2), torch.ones(3, 2)), {"b": torch.ones(3, 2), "a": torch.ones(3, 2)}],
    ids=["several arguments", "named arguments"],
)
def test_the_graph_shows_the_layers_and_leaves_the_module_as_it_was(example: Any, tmp_path: Path) -> None:
    module = Guarded()
    torch.manual_seed(5)
    random = torch.get_rng_state()
    logger = TensorBoardLogger(tmp_path, log_graph=True)
    logger.log_graph(module, example)
    logger.finalize("finished")
    assert "Guarded/Linear[layer]/weight/weight" in layers_of(logger)
    assert [layer.training for layer in module.modules()] == [True, True, False]
    assert torch.equal(random, torch.get_rng_state())


@pytest.mark.parametrize(("example", "says"), [(None, "example_input_array"), (torch.zeros(1, 3), "tracing failed")])
def test_a_graph_that_cannot_be_recorded_is_a_warning(example: Any, says: str, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=says):
        TensorBoardLogger(tmp_path, log_graph=True).log_graph(Net(example))


def test_settings_go_to_the_writer(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, filename_suffix=".mine")
    logger.log_metrics({"a": 1.0}, 0)
    logger.finalize("finished")
    assert any(path.name.endswith(".mine") for path in Path(logger.log_dir).iterdir())


def test_a_named_version_is_continued(tmp_path: Path) -> None:
    for step in range(2):
        logger = TensorBoardLogger(tmp_path, version=0)
        logger.log_metrics({"a": float(step)}, step)
        logger.finalize("finished")
    assert scalars(logger) == {"a": [(0, 0.0), (1, 1.0)]}


def test_logging_goes_on_after_finalize_and_in_copies(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, version=0)
    logger.log_metrics({"a": 0.0}, 0)
    logger.finalize("finished")
    logger.log_metrics({"a": 1.0}, 1)
    copy: TensorBoardLogger = pickle.loads(pickle.dumps(logger))
    logger.finalize("finished")
    copy.log_metrics({"a": 2.0}, 2)
    copy.finalize("finished")
    assert scalars(logger) == {"a": [(0, 0.0), (1, 1.0), (2, 2.0)]}


def test_nothing_saved_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        from fulmen_logger_tensorboard import TensorBoardLogger
        logger = TensorBoardLogger({str(tmp_path)!r}, version=0)
        for step in range(3):
            logger.log_metrics({{"a": float(step)}}, step)
        logger.save()
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
    assert scalars(TensorBoardLogger(tmp_path, version=0)) == {"a": [(0, 0.0), (1, 1.0), (2, 2.0)]}


def test_other_ranks_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    logger = TensorBoardLogger(tmp_path, log_graph=True)
    logger.log_hyperparams({"a": 1})
    logger.log_metrics({"a": 0.0}, 1)
    logger.log_graph(Net(torch.zeros(1, 2)))
    logger.experiment.add_image("picture", torch.zeros(3, 4, 4), 1)
    logger.finalize("finished")
    assert not list(tmp_path.iterdir())
