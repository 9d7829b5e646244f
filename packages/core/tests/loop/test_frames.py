"""Between `Trainer.fit` and the user's step lie few calls of ours, so that a traceback can be read."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kernel_cases import Line, loader, trainer

import fulmen_accelerator_cpu
import fulmen_core
import fulmen_interfaces
import fulmen_precision
import fulmen_strategy_single_device

pytestmark = pytest.mark.filterwarnings("ignore:.*nothing is validated")

OURS = [
    str(Path(str(package.__file__)).parent)
    for package in (
        fulmen_accelerator_cpu,
        fulmen_core,
        fulmen_interfaces,
        fulmen_precision,
        fulmen_strategy_single_device,
    )
]
MOST = 8


def our_frames() -> list[str]:
    """Return the calls of ours that lead here, the outermost first."""
    return [f.name for f in traceback.extract_stack() if any(f.filename.startswith(folder) for folder in OURS)]


class Looking(Line):
    frames: ClassVar[list[str]] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        type(self).frames = our_frames()
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        type(self).frames = our_frames()

    test_step = predict_step = validation_step


@pytest.mark.parametrize(
    "run",
    [
        {},
        {"gradient_clip_val": 1.0},
        {"accumulate_grad_batches": 2},
        {"detect_anomaly": True, "max_steps": 1},
    ],
)
def test_at_most_eight_frames_lead_from_fit_to_the_training_step(run: dict[str, Any]) -> None:
    trainer(**run).fit(Looking(), loader(2))
    assert len(Looking.frames) <= MOST, Looking.frames
    assert Looking.frames[0] == "fit"


@pytest.mark.parametrize("call", ["validate", "test", "predict"])
def test_no_more_lead_to_an_evaluation_step(call: str) -> None:
    quiet = {} if call == "predict" else {"verbose": False}
    getattr(trainer(), call)(Looking(), loader(1), **quiet)
    assert len(Looking.frames) <= MOST, Looking.frames
    assert Looking.frames[0] == call


def test_no_more_lead_to_a_manual_step() -> None:
    class Manual(Looking):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            type(self).frames = our_frames()

    trainer().fit(Manual(), loader(1))
    assert len(Manual.frames) <= MOST, Manual.frames
