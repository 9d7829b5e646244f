"""The logger for MLflow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from fulmen_interfaces import (
    CheckpointArtifacts,
    CheckpointCallback,
    Logger,
    SavedCheckpoint,
    get_rank,
    rank_zero_experiment,
    rank_zero_only,
)
from fulmen_logger_mlflow import _run
from fulmen_logger_mlflow._artifacts import log_checkpoint
from fulmen_logger_mlflow._store import Store
from fulmen_logger_mlflow._values import metrics_of, params_of

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_PREFIX_SEPARATOR = "-"


class MLFlowLogger(Logger):
    """Write metrics, hyper-parameters and checkpoints to a run of MLflow.

    Runs lie in the store at `tracking_uri`, else at `MLFLOW_TRACKING_URI`, else in a SQLite database in `save_dir`,
    with their artifacts beside it. With a `run_id` that run is continued. The experiment is made where it is not there
    yet, its artifacts at `artifact_location`; `tags` are those of the run.

    `log_model=True` keeps the checkpoints that are there at the end of the run, `"all"` each one as soon as it is
    saved, in the run's artifacts below `checkpoint_path_prefix`. With `synchronous=False` metrics are sent without
    waiting; the end of the run waits for them.
    """

    def __init__(  # noqa: PLR0913  # the arguments that users know
        self,
        experiment_name: str = "fulmen_logs",
        run_name: str | None = None,
        tracking_uri: str | None = None,
        tags: Mapping[str, Any] | None = None,
        save_dir: str | os.PathLike[str] | None = "./mlruns",
        log_model: Literal["all"] | bool = False,
        checkpoint_path_prefix: str = "",
        prefix: str = "",
        artifact_location: str | None = None,
        run_id: str | None = None,
        synchronous: bool | None = None,
    ) -> None:
        self._store = Store.named(tracking_uri, save_dir or "./mlruns", artifact_location)
        self._experiment_name = experiment_name
        self._run_name = run_name
        self._tags = dict(tags or {})
        self._checkpoints = CheckpointArtifacts(log_model)
        self._checkpoint_prefix = checkpoint_path_prefix
        self._prefix = f"{prefix}{_PREFIX_SEPARATOR}" if prefix else ""
        self._run_id = run_id
        self._synchronous = synchronous
        self._run: _run.MLFlowRun | None = None

    @property
    def name(self) -> str | None:
        """The id of the experiment, None on ranks other than zero. The run begins when it is first asked for."""
        return self._begun().experiment_id if get_rank() == 0 else None

    @property
    def version(self) -> str | None:
        """The id of the run; on ranks other than zero only if it was given."""
        return self._begun().run_id if get_rank() == 0 else self._run_id

    @property
    def run_id(self) -> str | None:
        """The id of the run, as `version`."""
        return self.version

    @property
    def experiment_id(self) -> str | None:
        """The id of the experiment, as `name`."""
        return self.name

    @property
    def save_dir(self) -> str | None:
        """The folder of the local database; None where the store was named by a URI."""
        return self._store.folder

    @property
    @rank_zero_experiment
    def experiment(self) -> MlflowClient:
        """MLflow's client, for all that has no method here. Silent on all ranks but zero."""
        return self._begun().client

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._begun().log_metrics(metrics_of(metrics, step, self._prefix))

    @rank_zero_only
    def log_hyperparams(self, params: Any = None, *args: Any, **kwargs: Any) -> None:
        """Record hyper-parameters. MLflow never changes those of a run: a new value is left out with a warning."""
        self._begun().log_params(params_of(params))

    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: CheckpointCallback) -> None:
        self._keep(self._checkpoints.after_save(checkpoint_callback))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Keep the checkpoints, and end the run as finished, failed or (where it was interrupted) killed."""
        self._keep(self._checkpoints.at_end())
        if self._run is not None:
            self._run.end(status)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the connection behind: a copy in another process goes on with the same run."""
        if self._run is None:
            return self.__dict__
        self._run.wait()
        return {**self.__dict__, "_run": None, "_run_id": self._run.run_id}

    def _begun(self) -> _run.MLFlowRun:
        if self._run is None and self._run_id is None:
            self._run = _run.begin(
                self._store, self._experiment_name, self._run_name, self._tags, synchronous=self._synchronous
            )
        elif self._run is None:
            self._run = _run.resume(self._store, str(self._run_id), synchronous=self._synchronous)
        return self._run

    def _keep(self, checkpoints: Iterable[SavedCheckpoint]) -> None:
        for saved in checkpoints:
            run = self._begun()
            log_checkpoint(run.client, run.run_id, saved, prefix=self._checkpoint_prefix)
