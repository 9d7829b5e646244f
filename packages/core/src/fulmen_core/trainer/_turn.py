"""Whose turn it is before a run: callbacks that try things out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fulmen_core.trainer._job import Job
from fulmen_interfaces import Callback, Stage, SupportsTuning


def let_tune(trainer: Any, callbacks: Sequence[Callback], job: Job, loaders: Mapping[str, Any]) -> None:
    """Let callbacks that try things out do so before the job is run. `loaders` are those passed, by hook."""
    tuning = [callback for callback in callbacks if isinstance(callback, SupportsTuning)]
    if not tuning or (job.stage is Stage.FIT and job.ckpt_path is not None):
        return
    data: dict[str, Any] = {"datamodule": job.datamodule}
    for hook, given in loaders.items():
        if given is not None and given is not job.datamodule:  # which may stand in the place of loaders
            data[f"{hook}s" if job.stage is Stage.FIT else "dataloaders"] = given
    for callback in tuning:
        callback.tune(trainer, job.module, job.stage.value, data)
