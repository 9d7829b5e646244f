"""Checkpoints as artifacts of a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fulmen_interfaces import SavedCheckpoint

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def log_checkpoint(client: MlflowClient, run_id: str, saved: SavedCheckpoint, *, prefix: str) -> None:
    """Keep a checkpoint, a file or a folder, in `prefix/NAME`, with what is said of it beside it."""
    folder = "/".join(filter(None, (prefix.strip("/"), os.path.splitext(os.path.basename(saved.path))[0])))
    if os.path.isdir(saved.path):
        client.log_artifacts(run_id, saved.path, f"{folder}/{os.path.basename(saved.path)}")
    else:
        client.log_artifact(run_id, saved.path, folder)
    client.log_dict(run_id, saved.metadata, f"{folder}/metadata.yaml")
    client.log_text(run_id, str(saved.aliases), f"{folder}/aliases.txt")
