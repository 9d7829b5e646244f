"""Trainer(profiler=...) in every stage: what the reports say, read back."""

from __future__ import annotations

import json
import pstats
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fulmen as L
from fulmen.profilers import AdvancedProfiler, PyTorchProfiler, SimpleProfiler

STEPS = {"fit": "training_step", "validate": "validation_step", "test": "test_step", "predict": "predict_step"}


class Line(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
        self.head = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        with self.trainer.profiler.profile("my_loss"):
            loss = nn.functional.mse_loss(self(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", nn.functional.mse_loss(self(batch[0]), batch[1]))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self(batch[0])

    def predict_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def loader(batches: int) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(batches * 2, 4, generator=generator), torch.randn(batches * 2, 1, generator=generator)
    return DataLoader(TensorDataset(x, y), batch_size=2)


def trainer(profiler: Any, folder: Path, **arguments: Any) -> L.Trainer:
    return L.Trainer(
        accelerator="cpu", profiler=profiler, default_root_dir=folder, enable_progress_bar=False,
        enable_model_summary=False, **{"logger": False, "max_epochs": 2, **arguments},
    )  # fmt: skip


def run(stage: str, runner: L.Trainer, batches: int = 6) -> None:
    if stage == "fit":
        runner.fit(Line(), loader(batches), loader(2))
    else:
        getattr(runner, stage)(Line(), loader(batches))


def table(text: str) -> dict[str, list[str]]:
    """Read a report of the simple profiler back: cells by action."""
    lines = text.splitlines()
    head = next(index for index, line in enumerate(lines) if line.startswith("action"))
    rows = [re.split(r"\s{2,}", line) for line in lines[head + 2 : lines.index("", head)] if not line.startswith("-")]
    return {row[0]: row[1:] for row in rows}


def number(cell: str) -> float:
    return float(cell.replace(",", "").rstrip("%"))


def test_the_table_of_a_fit_counts_exactly_and_adds_up(tmp_path, capsys):
    run("fit", trainer("simple", tmp_path, max_epochs=1, gradient_clip_val=1.0))
    rows = table(capsys.readouterr().out)
    counted = {
        "training_step": 6, "backward": 6, "optimizer_step": 6, "clip_gradients": 6, "training_batch": 6,
        "training_epoch": 1, "train_dataloader_next": 7, "validation": 1, "validation_step": 4, "sanity_check": 1,
        "my_loss": 6, "save_checkpoint": 1, "ModelCheckpoint.on_train_batch_end": 6, "Line.configure_optimizers": 1,
    }  # fmt: skip
    assert {name: int(rows[name][0]) for name in counted} == counted

    whole = rows.pop("(the whole run)")
    rest = rows.pop("(between the actions)")
    own = sum(number(row[3]) for row in rows.values()) + number(rest[0])
    assert own == pytest.approx(number(whole[3]), abs=0.0005 * (len(rows) + 2))
    assert sum(number(row[4]) for row in rows.values()) + number(rest[1]) == pytest.approx(100, abs=0.05 * len(rows))
    inside = sum(number(rows[name][2]) for name in ("training_step", "backward", "optimizer_step"))
    assert inside <= number(rows["training_batch"][2]) <= number(rows["training_epoch"][2]) <= number(whole[2])


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_other_stages_have_a_table_too(stage, tmp_path, capsys):
    run(stage, trainer("simple", tmp_path))
    printed = capsys.readouterr().out
    assert f"Where the time went in {stage}" in printed
    assert table(printed)[STEPS[stage]][0] == "6"


def test_a_run_that_fails_is_reported_up_to_there(tmp_path, capsys):
    class Failing(Line):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            if batch_idx == 3:
                raise ArithmeticError
            return super().training_step(batch, batch_idx)

    with pytest.raises(ArithmeticError):
        trainer("simple", tmp_path).fit(Failing(), loader(6))
    rows = table(capsys.readouterr().out)
    assert (rows["training_step"][0], rows["optimizer_step"][0]) == ("4", "3")


def test_a_file_goes_to_the_loggers_folder(tmp_path):
    runner = trainer(SimpleProfiler(filename="speed"), tmp_path, logger="csv")
    run("fit", runner)
    assert runner.log_dir is not None
    assert table((Path(runner.log_dir) / "fit-speed-0.txt").read_text())["training_step"][0] == "12"


@pytest.mark.parametrize("stage", STEPS)
def test_functions_are_found_in_their_action(stage, tmp_path):
    run(stage, trainer(AdvancedProfiler(tmp_path / "out", "speed", dump_stats=True), tmp_path))
    stats = pstats.Stats(str(tmp_path / "out" / f"{stage}-speed-0-{STEPS[stage]}.prof")).stats
    calls = {name: row[1] for (file, _, name), row in stats.items() if file == __file__}
    assert calls[STEPS[stage]] == {"fit": 12, "validate": 6, "test": 6, "predict": 6}[stage]
    assert f"{STEPS[stage]}: " in (tmp_path / "out" / f"{stage}-speed-0.txt").read_text()


@pytest.mark.parametrize("stage", STEPS)
def test_three_batches_are_traced(stage, tmp_path):
    profiler = PyTorchProfiler(tmp_path / "out")
    run(stage, trainer(profiler, tmp_path, num_sanity_val_steps=2))
    (trace,) = profiler.traces
    events = json.loads(Path(trace).read_text())["traceEvents"]
    names = [event["name"] for event in events if event.get("ph") == "X"]
    assert names.count(STEPS[stage]) == 3
    assert names.count("body.0: Linear") == 3
    assert names.count("aten::addmm") == 6
    assert sorted(name for name in names if name.startswith("ProfilerStep")) == [f"ProfilerStep#{n}" for n in (2, 3, 4)]


def test_the_pytorch_profiler_by_name_prints_its_table(tmp_path, capsys):
    runner = trainer("pytorch", tmp_path)
    run("fit", runner)
    assert "training_step" in capsys.readouterr().out
    assert [file.name for file in tmp_path.glob("*.json")] == ["fit-pytorch-0.1.pt.trace.json"]
    assert not any(part._forward_hooks for part in runner.lightning_module.modules())


def test_the_advanced_profiler_by_name_prints_its_sections(tmp_path, capsys):
    run("predict", trainer("advanced", tmp_path))
    assert "predict_step: 6 calls" in capsys.readouterr().out
