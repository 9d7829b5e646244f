"""Artifacts: checkpoints that are kept, and what is fetched."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from fulmen_interfaces import SavedCheckpoint

if TYPE_CHECKING:
    from wandb import Run


def log_checkpoint(
    run: Run,
    saved: SavedCheckpoint,
    *,
    name: str,
    policy: Literal["mutable", "immutable"],
) -> None:
    """Make a checkpoint, a file or a folder, the newest version of the run's artifact of that name."""
    import wandb

    artifact = wandb.Artifact(name, type="model", metadata=saved.metadata)
    if os.path.isdir(saved.path):
        artifact.add_dir(saved.path, name="model.ckpt", policy=policy)
    else:
        artifact.add_file(saved.path, name="model.ckpt", policy=policy)
    run.log_artifact(artifact, aliases=saved.aliases)


def download(artifact: str, folder: str | os.PathLike[str] | None, *, kind: str | None, recorded: bool) -> str:
    """Download an artifact and return its folder; `recorded` as an input of the run in progress, if there is one."""
    import wandb

    if recorded and wandb.run is not None:
        found = wandb.run.use_artifact(artifact, type=kind)
    else:
        found = wandb.Api().artifact(artifact, type=kind)
    return found.download(root=None if folder is None else os.fspath(folder))
