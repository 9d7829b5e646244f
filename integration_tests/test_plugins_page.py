"""docs/plugins.md names what there is, and leaves out nothing that Lightning 2.6 exports."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "plugins.md"
EXPORTED = {
    "callbacks": (
        "BackboneFinetuning BaseFinetuning BasePredictionWriter BatchSizeFinder Callback Checkpoint DeviceStatsMonitor "
        "EMAWeightAveraging EarlyStopping GradientAccumulationScheduler LambdaCallback LearningRateFinder "
        "LearningRateMonitor ModelCheckpoint ModelPruning ModelSummary OnExceptionCheckpoint ProgressBar "
        "RichModelSummary RichProgressBar SpikeDetection StochasticWeightAveraging TQDMProgressBar ThroughputMonitor "
        "Timer WeightAveraging"
    ),
    "loggers": "CSVLogger CometLogger LitLogger Logger MLFlowLogger TensorBoardLogger WandbLogger",
    "profilers": "AdvancedProfiler PassThroughProfiler Profiler PyTorchProfiler SimpleProfiler XLAProfiler",
}
"""The `__all__` of lightning.pytorch.callbacks, .loggers and .profilers in 2.6.6."""


def rows(section: str) -> dict[str, str]:
    """Return Lightning's names of a section, each with ours."""
    text = PAGE.read_text().split(f"## {section.capitalize()}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| `?(\w+|–)`? \|", text, flags=re.MULTILINE))


@pytest.mark.parametrize("section", EXPORTED)
def test_every_exported_name_has_a_row(section: str) -> None:
    assert sorted(rows(section)) == sorted(EXPORTED[section].split())


@pytest.mark.parametrize("section", EXPORTED)
def test_what_the_page_offers_is_there(section: str) -> None:
    home = import_module(f"fulmen.{section}")
    assert [name for name in rows(section).values() if name != "–" and not hasattr(home, name)] == []
