"""The outsider among the others: how it is found, refused, watched, and what it may depend on."""

from __future__ import annotations

import ast
import csv
import os
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import acme_sim
import acme_torch
import pytest
import torch
from acme_sim import SIM_SPEC, SimAccelerator
from acme_torch import SimOutOfMemoryError
from packaging.requirements import Requirement
from sim_cases import QUIET, Classifier, loader, samples
from torch import nn
from torch.utils.data import DataLoader

import fulmen as L
from fulmen.callbacks import DeviceStatsMonitor
from fulmen.loggers import CSVLogger
from fulmen.tuner import Tuner
from fulmen_interfaces import ACCELERATORS, Catalogue, ConfigurationError

HERE = Path(__file__).parent


def test_the_name_is_announced_by_this_distribution() -> None:
    catalogue = Catalogue.installed()
    assert catalogue.entry(ACCELERATORS, "sim").distribution == "acme-sim"
    assert "acme-sim" in str(L.Trainer(**QUIET).plan())


def test_it_depends_on_the_interfaces_and_torch_alone() -> None:
    assert sorted(Requirement(line).name for line in requires("acme-sim") or ()) == ["fulmen-interfaces", "torch"]
    imported = set()
    sources = [Path(str(package.__file__)).parent for package in (acme_sim, acme_torch)]
    for file in [file for source in sources for file in source.rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            imported |= {name for name in names if name.startswith("fulmen")}
    assert imported == {"fulmen_interfaces"}


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"strategy": "ddp"}, "ddp joins processes by torch.distributed, which sim cannot take part in."),
        ({"devices": 2}, "Only 1 sim device exists here: 0."),
        ({"devices": [1]}, "There is no sim device 1."),
        ({"precision": "bf16-mixed"}, "torch.autocast cannot use bfloat16 on sim."),
    ],
)
def test_what_it_cannot_do_is_refused_before_anything_starts(options: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        L.Trainer(**QUIET | options)
    assert part in str(error.value)
    assert 'accelerator="sim"' in str(error.value), "what would work on it is named"


def in_another_process(program: str, card: str) -> str:
    environment = os.environ | {"SIM_DEVICE": card}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_without_the_card_auto_takes_another_and_asking_for_it_says_why() -> None:
    program = """
import sys
import fulmen as L
plan = L.Trainer(logger=False).plan()
assert plan.accelerator_spec.name == "cpu"
try:
    L.Trainer(accelerator="sim")
except L.ConfigurationError as error:
    print(error)
assert "acme_torch._torch" not in sys.modules
"""
    text = in_another_process(program, "0")
    assert "No sim card is plugged in. The environment variable SIM_DEVICE=1 simulates one." in text
    assert "accelerator='cpu' would work" in text


def test_looking_for_it_does_not_touch_torch() -> None:
    program = """
import sys
from fulmen_interfaces import ACCELERATORS, Catalogue
print(Catalogue.installed().find(ACCELERATORS, "sim").spec.probe().count, "torch" in sys.modules)
"""
    assert in_another_process(program, "1") == "1 False"


def test_its_figures_are_logged(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    options = QUIET | {"logger": logger, "log_every_n_steps": 1, "callbacks": [DeviceStatsMonitor()]}
    L.Trainer(max_epochs=1, **options).fit(Classifier(), loader())
    rows = list(csv.DictReader((Path(str(logger.log_dir)) / "metrics.csv").open()))
    key = "DeviceStatsMonitor.on_train_batch_end/memory_allocated_bytes"
    values = [float(row[key]) for row in rows if row.get(key)]
    assert len(values) == 6
    assert min(values) > 4 * sum(one.numel() for one in Classifier().parameters()), "weights, gradients, moments"


class Wide(Classifier):
    """Each sample takes 40,000 bytes of activations or more."""

    def __init__(self, batch_size: int = 2) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.layers = nn.Sequential(nn.Linear(8, 10_000), nn.Linear(10_000, 2))

    def train_dataloader(self) -> Any:
        return DataLoader(samples(256), batch_size=self.batch_size)


def test_lack_of_memory_ends_a_run_and_is_what_the_batch_size_finder_looks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accelerator = SimAccelerator()
    monkeypatch.setenv("SIM_MEMORY_BYTES", str(accelerator.memory.allocated + 5_000_000))
    with pytest.raises(SimOutOfMemoryError, match="Use smaller batches"):
        L.Trainer(max_epochs=1, **QUIET).fit(Wide(batch_size=256))
    module = Wide()
    found = Tuner(L.Trainer(max_epochs=1, **QUIET)).scale_batch_size(module, mode="power", max_trials=8)
    assert found is not None
    assert 2 < found < 256
    L.Trainer(max_epochs=1, **QUIET).fit(Wide(batch_size=found))


def test_every_precision_that_needs_no_autocast_trains() -> None:
    for precision, dtype in (("64-true", torch.float64), ("bf16-true", torch.bfloat16)):
        module = Classifier()
        L.Trainer(max_epochs=2, precision=precision, **QUIET).fit(module, loader())
        assert {value.dtype for value in module.seen} == {dtype}
        assert float(module.seen[-1]) < float(module.seen[0])


def test_the_spec_is_what_the_trainer_shows() -> None:
    trainer = L.Trainer(**QUIET)
    assert trainer.accelerator.spec is SIM_SPEC
    assert isinstance(trainer.accelerator, SimAccelerator)
