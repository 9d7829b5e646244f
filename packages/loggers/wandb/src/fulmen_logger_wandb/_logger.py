"""The logger for Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from fulmen_interfaces import (
    CheckpointArtifacts,
    CheckpointCallback,
    Logger,
    SavedCheckpoint,
    get_rank,
    plain_params,
    rank_zero_experiment,
    rank_zero_only,
)
from fulmen_logger_wandb import _media, _run
from fulmen_logger_wandb._artifacts import download, log_checkpoint

if TYPE_CHECKING:
    from torch import nn
    from wandb import Artifact, Run

_PREFIX_SEPARATOR = "-"
_SUCCESS = ("finished", "success")


class WandbLogger(Logger):
    """Write metrics, hyper-parameters, media and checkpoints to a run of Weights & Biases.

    The run begins when it is first needed and goes on after `finalize`, so that more can be logged; `wandb.finish()` or
    the end of the process ends it. A run that the user began with `wandb.init` is taken, unless another `id` (or
    `version`, which is the same) is given. With `offline` nothing is sent: `wandb sync` does so later.

    `log_model=True` keeps the checkpoints that are there at the end of a successful run, `"all"` each one as soon as it
    is saved. Metrics are drawn over `trainer/global_step`. Further arguments go to `wandb.init`.
    """

    def __init__(  # noqa: PLR0913  # the arguments that users know
        self,
        name: str | None = None,
        save_dir: str | os.PathLike[str] = ".",
        version: str | None = None,
        offline: bool = False,
        dir: str | os.PathLike[str] | None = None,
        id: str | None = None,
        anonymous: bool | None = None,
        project: str | None = None,
        log_model: Literal["all"] | bool = False,
        experiment: Run | None = None,
        prefix: str = "",
        checkpoint_name: str | None = None,
        add_file_policy: Literal["mutable", "immutable"] = "mutable",
        **kwargs: Any,
    ) -> None:
        self._save_dir = os.fspath(save_dir if dir is None else dir)
        self._project = project or os.environ.get("WANDB_PROJECT") or "fulmen_logs"
        self._id = version or id
        self._checkpoints = CheckpointArtifacts(log_model)
        self._prefix = prefix
        self._checkpoint_name = checkpoint_name
        self._add_file_policy = add_file_policy
        self._settings: dict[str, Any] = {"resume": "allow", "name": name, "dir": self._save_dir, **kwargs}
        self._settings["project"] = self._project
        if offline:
            self._settings["mode"] = "offline"
        if anonymous:
            self._settings["anonymous"] = "allow"
        self._run: Run | None = None if experiment is None else _run.with_steps(experiment)
        self._begun_elsewhere = False

    @property
    def name(self) -> str:
        """The project."""
        return self._project if self._run is None else self._run.project

    @property
    def version(self) -> str | None:
        """The id of the run; on ranks other than zero only if it was given."""
        if self._run is not None:
            return self._run.id
        if self._id is None and get_rank() == 0:
            foreign = _run.foreign_run()
            self._id = _run.new_id() if foreign is None else foreign.id
        return self._id

    @property
    def save_dir(self) -> str:
        return self._save_dir

    @property
    @rank_zero_experiment
    def experiment(self) -> Run:
        """The run, for all that has no method here. Silent on all ranks but zero."""
        if self._run is None:
            self._run = self._begin()
        return self._run

    @rank_zero_only
    def watch(
        self,
        model: nn.Module,
        log: Literal["gradients", "parameters", "all"] | None = "gradients",
        log_freq: int = 100,
        log_graph: bool = True,
    ) -> None:
        """Record histograms of a model's gradients or parameters every `log_freq` backward passes, and its graph."""
        self.experiment.watch(model, log=log, log_freq=log_freq, log_graph=log_graph)

    @rank_zero_only
    def unwatch(self, model: nn.Module | None = None) -> None:
        """Stop watching a model, or all of them."""
        self.experiment.unwatch(model)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record numbers, or whatever else `wandb.log` takes."""
        if self._prefix:
            metrics = {f"{self._prefix}{_PREFIX_SEPARATOR}{name}": value for name, value in metrics.items()}
        self.experiment.log({**metrics} if step is None else {**metrics, _run.STEP: step})

    @rank_zero_only
    def log_hyperparams(self, params: Any = None, *args: Any, **kwargs: Any) -> None:
        config: Any = self.experiment.config
        config.update(plain_params(params), allow_val_change=True)

    @rank_zero_only
    def log_table(
        self,
        key: str,
        columns: list[str | int] | None = None,
        data: list[list[Any]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Record a table: rows under columns, or a data frame of pandas. Cells may hold media."""
        self.log_metrics({key: _media.table(columns, data, dataframe)}, step)

    @rank_zero_only
    def log_text(
        self,
        key: str,
        columns: list[str | int] | None = None,
        data: list[list[str]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Record texts as a table."""
        self.log_table(key, columns, data, dataframe, step)

    @rank_zero_only
    def log_image(self, key: str, images: Sequence[Any], step: int | None = None, **kwargs: Any) -> None:
        """Record images: arrays, tensors, PIL images or paths. Settings such as `caption` are lists, one per image."""
        import wandb

        self.log_metrics({key: _media.media(wandb.Image, images, kwargs)}, step)

    @rank_zero_only
    def log_audio(self, key: str, audios: Sequence[Any], step: int | None = None, **kwargs: Any) -> None:
        """Record sounds: arrays or paths. Settings such as `sample_rate` are lists, one per sound."""
        import wandb

        self.log_metrics({key: _media.media(wandb.Audio, audios, kwargs)}, step)

    @rank_zero_only
    def log_video(self, key: str, videos: Sequence[Any], step: int | None = None, **kwargs: Any) -> None:
        """Record videos: arrays or paths. Settings such as `fps` are lists, one per video."""
        import wandb

        self.log_metrics({key: _media.media(wandb.Video, videos, kwargs)}, step)

    def use_artifact(self, artifact: str, artifact_type: str | None = None) -> Artifact:
        """Return an artifact, and record that this run uses it."""
        return self.experiment.use_artifact(artifact, type=artifact_type)

    @staticmethod
    @rank_zero_only
    def download_artifact(
        artifact: str,
        save_dir: str | os.PathLike[str] | None = None,
        artifact_type: str | None = None,
        use_artifact: bool = True,
    ) -> str:
        """Download an artifact and return its folder, `save_dir` or one that `wandb` chooses; on rank zero alone.

        With `use_artifact` the run in progress, if there is one, records that it uses it.
        """
        return download(artifact, save_dir, kind=artifact_type, recorded=use_artifact)

    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: CheckpointCallback) -> None:
        self._keep(self._checkpoints.after_save(checkpoint_callback))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Keep the checkpoints of a successful run. The run itself goes on."""
        if status in _SUCCESS:
            self._keep(self._checkpoints.at_end())
        else:
            self._checkpoints.discard()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the run behind: a copy in another process attaches to it."""
        begun = self._begun_elsewhere or self._run is not None
        return {**self.__dict__, "_run": None, "_id": self.version, "_begun_elsewhere": begun}

    def _begin(self) -> Run:
        run_id = str(self.version)
        if self._begun_elsewhere:
            return _run.attach(run_id)
        os.makedirs(self._save_dir, exist_ok=True)
        return _run.begin(self._settings, run_id)

    def _keep(self, checkpoints: Iterable[SavedCheckpoint]) -> None:
        for saved in checkpoints:
            name = self._checkpoint_name or f"model-{self.version}"
            log_checkpoint(self.experiment, saved, name=name, policy=self._add_file_policy)
