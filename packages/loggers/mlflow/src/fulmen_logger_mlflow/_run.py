"""One run of MLflow, from its beginning to its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient
    from mlflow.utils.async_logging.run_operations import RunOperations

from fulmen_logger_mlflow._store import Store
from fulmen_logger_mlflow._values import MAX_METRICS, MAX_PARAMS, in_parts, new_params

_MOST_UNDER_WAY = 1000
_LAST_STATUS = {"finished": "FINISHED", "success": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class MLFlowRun:
    """Writes to a run. What is written after `end` opens it again."""

    def __init__(self, client: MlflowClient, run_id: str, experiment_id: str, *, synchronous: bool | None) -> None:
        self.client = client
        self.run_id = run_id
        self.experiment_id = experiment_id
        self._synchronous = synchronous
        self._under_way: deque[RunOperations] = deque()
        self._is_open = False

    def log_metrics(self, metrics: list[Metric]) -> None:
        """Record metrics, in as many requests as they need."""
        self._open()
        for part in in_parts(metrics, MAX_METRICS):
            self._log(metrics=part)

    def log_params(self, params: list[Param]) -> None:
        """Record the parameters that the run does not have yet."""
        self._open()
        self.wait()
        known = self.client.get_run(self.run_id).data.params
        for part in in_parts(new_params(params, known), MAX_PARAMS):
            self._log(params=part)

    def wait(self) -> None:
        """Return when all that was logged without waiting has arrived."""
        while self._under_way:
            self._wait_for_oldest()

    def end(self, status: str) -> None:
        """Say how the run ended."""
        self.wait()
        self.client.set_terminated(self.run_id, _LAST_STATUS.get(status, "FINISHED"))
        self._is_open = False

    def _open(self) -> None:
        if not self._is_open:
            self.client.update_run(self.run_id, status="RUNNING")
            self._is_open = True

    def _log(self, **values: Any) -> None:
        operations = self.client.log_batch(self.run_id, **values, synchronous=self._synchronous)
        if operations is not None:
            self._under_way.append(operations)
        if len(self._under_way) > _MOST_UNDER_WAY:
            self._wait_for_oldest()

    def _wait_for_oldest(self) -> None:
        self._under_way.popleft().wait()  # type: ignore[no-untyped-call]  # it has no annotation


def client_of(store: Store) -> MlflowClient:
    """Return a client of the store, which is made where it is not there yet."""
    from mlflow.tracking import MlflowClient

    store.prepare()
    return MlflowClient(tracking_uri=store.uri)


def begin(
    store: Store, experiment_name: str, run_name: str | None, tags: Mapping[str, Any], *, synchronous: bool | None
) -> MLFlowRun:
    """Begin a new run of an experiment, which is made where it is not there yet."""
    from mlflow.tracking.context.registry import resolve_tags
    from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

    client = client_of(store)
    experiment = client.get_experiment_by_name(experiment_name)
    if experiment is None:
        experiment_id = client.create_experiment(experiment_name, artifact_location=store.artifacts)
    else:
        experiment_id = experiment.experiment_id
    named = {} if run_name is None else {MLFLOW_RUN_NAME: run_name}
    run = client.create_run(experiment_id, tags=resolve_tags({**tags, **named}), run_name=run_name)
    return MLFlowRun(client, run.info.run_id, experiment_id, synchronous=synchronous)


def resume(store: Store, run_id: str, *, synchronous: bool | None) -> MLFlowRun:
    """Go on with a run that is there."""
    client = client_of(store)
    experiment_id = client.get_run(run_id).info.experiment_id
    return MLFlowRun(client, run_id, experiment_id, synchronous=synchronous)
