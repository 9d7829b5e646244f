"""Files and attributes after every event, as Lightning 2.6.6 was seen to leave them for the same arguments."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from simulated_fit import SimulatedFit, same_number

from fulmen_callbacks import ModelCheckpoint

GOLDEN = json.loads((Path(__file__).parent / "golden" / "model_checkpoint.json").read_text())

Event = tuple[Any, ...]


class Recorder:
    """Describes what each hook changed, in the form of the golden file."""

    def __init__(self, root: Path, trainer: Any, callback: ModelCheckpoint) -> None:
        self.root, self.trainer, self.callback = root, trainer, callback
        self.events: list[Event] = []
        self.seen = 0
        self.before: Any = None

    def after(self, hook: str) -> None:
        saves = [self.short(path) for path in self.trainer.saved[self.seen :]]
        self.seen = len(self.trainer.saved)
        score = self.callback.best_model_score
        now = (
            self.files(),
            self.short(self.callback.best_model_path),
            self.short(self.callback.last_model_path),
            None if score is None else score.item(),
        )
        if saves or (self.before is not None and now != self.before):
            self.events.append((hook, self.trainer.current_epoch, self.trainer.global_step, saves, *now))
        self.before = now

    def files(self) -> list[str]:
        found = [
            os.path.relpath(os.path.join(folder, name), self.root)
            for folder, _, names in os.walk(self.root)
            for name in names
        ]
        return sorted(name + ("@" if (self.root / name).is_symlink() else "") for name in found)

    def short(self, path: str) -> str:
        return os.path.relpath(path, self.root) if path else ""


def arguments(given: dict[str, Any], root: Path) -> dict[str, Any]:
    converted = dict(given)
    if "train_time_interval" in given:
        converted["train_time_interval"] = timedelta(seconds=given["train_time_interval"])
    if "dirpath" in given:
        converted["dirpath"] = root / given["dirpath"]
    return converted


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_files_and_moments_are_the_same(case: dict[str, Any], tmp_path: Path, make_trainer: Any, module: Any) -> None:
    for run in case["runs"]:
        settings = dict(run.get("trainer", {}))
        loop = {name: settings.pop(name) for name in list(settings) if name in SimulatedFit.__dataclass_fields__}
        callback = ModelCheckpoint(**arguments(run["checkpoint"], tmp_path))
        trainer = make_trainer(callbacks=[callback], **settings)
        start = None
        if "resume" in run:
            trainer.ckpt_path = str(tmp_path / run["resume"])
            start = torch.load(trainer.ckpt_path)
        recorder = Recorder(tmp_path, trainer, callback)
        SimulatedFit(trainer, module, callback, after=recorder.after, **loop, **run.get("module", {})).run(start)
        assert len(recorder.events) == len(run["events"])
        for ours, expected in zip(recorder.events, run["events"], strict=True):
            assert list(ours[:-1]) == expected[:-1]
            assert same_number(ours[-1], expected[-1])
