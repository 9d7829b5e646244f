"""The PyTorch profiler: what is recorded when, read back from the traces."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.profiler import schedule

from fulmen_interfaces import ConfigurationError
from fulmen_profilers import PyTorchProfiler


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        self.head = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def play(profiler: PyTorchProfiler, log_dir: Path, *, batches: int = 8, model: nn.Module | None = None) -> None:
    """Play a run as the loop does."""
    model = Model() if model is None else model
    profiler.setup("fit", rank=0, log_dir=str(log_dir))
    profiler.attach(model)
    for number in range(batches):
        with profiler.profile("training_batch"), profiler.profile(f"batch_{number}"):
            model(torch.ones(2, 8)).sum().backward()
        profiler.step()
    profiler.describe()
    profiler.teardown("fit")


def spans(file: Path) -> list[str]:
    """Read a trace back: the names of its spans."""
    events: list[dict[str, Any]] = json.loads(file.read_text())["traceEvents"]
    return [event["name"] for event in events if event.get("ph") == "X"]


def recorded_batches(file: Path) -> list[int]:
    return sorted(int(name.removeprefix("batch_")) for name in spans(file) if name.startswith("batch_"))


def test_by_default_the_third_to_fifth_batch_are_recorded_once(tmp_path, capsys):
    profiler = PyTorchProfiler()
    play(profiler, tmp_path, batches=12)
    (trace,) = tmp_path.iterdir()
    assert trace.name == "fit-pytorch-0.1.pt.trace.json"
    assert recorded_batches(trace) == [2, 3, 4]
    assert profiler.traces == [str(trace)]
    printed = capsys.readouterr().out
    assert str(trace) in printed
    assert "aten::addmm" in printed


def test_actions_are_spans_and_contain_the_operators(tmp_path):
    play(PyTorchProfiler(), tmp_path)
    events = json.loads(next(tmp_path.iterdir()).read_text())["traceEvents"]
    whole = [event for event in events if event.get("name") == "training_batch" and event["ph"] == "X"]
    multiplications = [event for event in events if event.get("name") == "aten::addmm" and event["ph"] == "X"]
    assert len(whole) == 3
    assert len(multiplications) == 6
    for one in multiplications:
        assert any(batch["ts"] <= one["ts"] <= one["ts"] + one["dur"] <= batch["ts"] + batch["dur"] for batch in whole)


def test_a_schedule_decides_what_is_recorded_and_each_cycle_is_a_trace(tmp_path):
    plan = schedule(skip_first=1, wait=1, warmup=1, active=2, repeat=2)
    play(PyTorchProfiler(filename="speed", schedule=plan), tmp_path, batches=12)
    assert recorded_batches(tmp_path / "fit-speed-0.1.pt.trace.json") == [3, 4]
    assert recorded_batches(tmp_path / "fit-speed-0.2.pt.trace.json") == [7, 8]
    assert (tmp_path / "fit-speed-0.txt").read_text().count("training_batch") == 1


def test_without_a_schedule_the_whole_run_is_recorded(tmp_path):
    play(PyTorchProfiler(schedule=None), tmp_path, batches=3)
    assert recorded_batches(next(tmp_path.iterdir())) == [0, 1, 2]


def test_a_run_that_ends_while_recording_keeps_what_it_has(tmp_path):
    play(PyTorchProfiler(), tmp_path, batches=3)
    assert recorded_batches(next(tmp_path.iterdir())) == [2]


def test_a_run_that_is_too_short_says_so(tmp_path, capsys):
    play(PyTorchProfiler(), tmp_path, batches=1)
    assert list(tmp_path.iterdir()) == []
    assert "ended after 1 batches, before its schedule" in capsys.readouterr().out


def test_parts_of_the_model_are_spans_by_name(tmp_path):
    play(PyTorchProfiler(), tmp_path)
    names = spans(next(tmp_path.iterdir()))
    expected = ["Model", "body: Sequential", "body.0: Linear", "body.1: ReLU", "head: Linear"]
    assert {name: names.count(name) for name in expected} == dict.fromkeys(expected, 3)


def test_the_model_is_left_alone_outside_of_what_is_recorded(tmp_path):
    model = Model()
    hooked = []
    profiler = PyTorchProfiler(schedule=schedule(wait=2, warmup=1, active=1, repeat=1))
    profiler.setup("fit", rank=0, log_dir=str(tmp_path))
    profiler.attach(model)
    for _ in range(6):
        hooked.append(bool(model.head._forward_hooks or model.head._forward_pre_hooks))
        profiler.step()
    profiler.describe()
    assert hooked == [False, False, True, True, False, False]

    play(PyTorchProfiler(record_module_names=False), tmp_path / "plain", model=model)
    assert "head: Linear" not in spans(next((tmp_path / "plain").iterdir()))


def test_an_error_in_the_model_closes_its_spans(tmp_path):
    class Failing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise KeyError

    model = nn.Sequential(nn.ReLU(), Failing())
    profiler = PyTorchProfiler(schedule=None)
    with pytest.raises(KeyError):
        play(profiler, tmp_path, model=model)
    profiler.describe()
    profiler.teardown("fit")
    names = spans(next(tmp_path.iterdir()))
    assert [name for name in names if name in ("0: ReLU", "1: Failing", "Sequential")].count("1: Failing") == 1
    assert not any(part._forward_hooks for part in model.modules())


def test_memory_and_shapes_are_columns_of_the_table(tmp_path):
    profiler = PyTorchProfiler(
        profile_memory=True, group_by_input_shapes=True, sort_by_key="self_cpu_memory_usage", row_limit=3
    )
    play(profiler, tmp_path)
    text = profiler.summary()
    assert "CPU Mem" in text
    assert "Input Shapes" in text
    rules = [index for index, line in enumerate(text.splitlines()) if line.startswith("---")]
    assert rules[2] - rules[1] - 1 == 3


def test_a_handler_of_the_users_takes_the_place_of_the_files(tmp_path):
    seen = []
    profiler = PyTorchProfiler(on_trace_ready=lambda recorded: seen.append(recorded.step_num))
    play(profiler, tmp_path)
    assert seen == [5]
    assert list(tmp_path.iterdir()) == []
    assert "aten::addmm" in profiler.summary()


def test_tensorboards_handler_can_be_used(tmp_path):
    handler = torch.profiler.tensorboard_trace_handler(str(tmp_path / "board"), worker_name="me")
    play(PyTorchProfiler(on_trace_ready=handler), tmp_path)
    (trace,) = (tmp_path / "board").iterdir()
    assert trace.name.startswith("me.")
    assert recorded_batches(trace) == [2, 3, 4]


def test_without_export_there_is_no_file(tmp_path):
    play(PyTorchProfiler(export_to_chrome=False), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_writes_its_own_trace(tmp_path):
    profiler = PyTorchProfiler()
    play(profiler, tmp_path)
    play(profiler, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "fit-pytorch-0.1.pt.trace.json",
        "fit-pytorch-0.2.pt.trace.json",
    ]


def test_traces_can_be_remote():
    import fsspec

    profiler = PyTorchProfiler("memory://traces")
    play(profiler, Path("unused"))
    text = fsspec.filesystem("memory").cat("/traces/fit-pytorch-0.1.pt.trace.json")
    assert "traceEvents" in json.loads(text)


def test_other_ranks_record_only_if_asked(tmp_path, capsys):
    for rank, asked in ((1, False), (2, True)):
        profiler = PyTorchProfiler(all_ranks=asked)
        profiler.setup("fit", rank=rank, log_dir=str(tmp_path))
        for _ in range(6):
            with profiler.profile("step"):
                torch.ones(2).sum()
            profiler.step()
        profiler.describe()
        profiler.teardown("fit")
    assert [file.name for file in tmp_path.iterdir()] == ["fit-pytorch-2.1.pt.trace.json"]
    assert "in fit, rank 2, by operator" in capsys.readouterr().out


def test_start_and_stop_are_spans_too(tmp_path):
    profiler = PyTorchProfiler(schedule=None)
    profiler.setup("fit", rank=0, log_dir=str(tmp_path))
    profiler.start("mine")
    torch.ones(2).sum()
    profiler.stop("mine")
    with pytest.raises(ValueError, match="'mine' was to be stopped"):
        profiler.stop("mine")
    profiler.describe()
    assert spans(next(tmp_path.iterdir())).count("mine") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"profile_memroy": True}, ["profile_memroy=True", "Did you mean 'profile_memory'?"]),
        ({"sort_by_key": "cpu_total"}, ["sort_by_key='cpu_total'", "cpu_time_total"]),
        ({"table_kwargs": {"row_limit": 3}}, ["table_kwargs['row_limit']", "`row_limit` to the profiler itself"]),
        ({"table_kwargs": {"width": 3}}, ["width=3", "max_name_column_width"]),
        ({"schedule": 3}, ["schedule=3", "torch.profiler.schedule"]),
    ],
)
def test_what_torch_would_not_understand_is_refused_at_once(arguments, words):
    with pytest.raises(ConfigurationError) as error:
        PyTorchProfiler(**arguments)
    assert all(word in str(error.value) for word in words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
def test_nvtx_ranges_need_cuda():
    profiler = PyTorchProfiler(emit_nvtx=True)
    with pytest.raises(ConfigurationError, match="NVTX ranges need CUDA"):
        profiler.setup("fit", rank=0, log_dir=None)
    profiler.describe()
    profiler.teardown("fit")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA")
def test_with_nvtx_nothing_is_recorded_here(tmp_path, capsys):
    play(PyTorchProfiler(emit_nvtx=True), tmp_path, batches=2)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


def test_it_can_be_sent_to_another_process():
    copy = pickle.loads(pickle.dumps(PyTorchProfiler("folder", row_limit=3, profile_memory=True)))
    assert (copy.dirpath, copy.row_limit, copy.profiler_kwargs) == ("folder", 3, {"profile_memory": True})
