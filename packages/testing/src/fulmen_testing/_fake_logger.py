"""A logger for tests: it keeps in memory what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from torch import nn

from fulmen_interfaces import CheckpointCallback, Logger, LoggerSpec


@final
class FakeLogger(Logger):
    """Keeps everything.

    `metrics` holds (step, metrics) in the order of writing; `hyperparams`, `graphs` and `checkpoints` what those
    methods received; `saves` counts calls of `save`; `status` is that of the last `finalize`.
    """

    def __init__(self, name: str = "fake", version: int | str = 0, save_dir: str | None = None) -> None:
        self.metrics: list[tuple[int | None, dict[str, float]]] = []
        self.hyperparams: list[Any] = []
        self.graphs: list[nn.Module] = []
        self.checkpoints: list[CheckpointCallback] = []
        self.saves = 0
        self.status: str | None = None
        self._name = name
        self._version = version
        self._save_dir = save_dir

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self._name

    @property
    def version(self) -> int | str:
        """Version of the experiment."""
        return self._version

    @property
    def save_dir(self) -> str | None:
        """The directory that it was given; nothing is written to it."""
        return self._save_dir

    @property
    def experiment(self) -> FakeLogger:
        """The logger itself."""
        return self

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep metrics of one step."""
        self.metrics.append((step, dict(metrics)))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Keep hyper-parameters."""
        self.hyperparams.append(params)

    def log_graph(self, model: nn.Module, input_array: Any = None) -> None:
        """Keep the model."""
        self.graphs.append(model)

    def after_save_checkpoint(self, checkpoint_callback: CheckpointCallback) -> None:
        """Keep the callback that saved."""
        self.checkpoints.append(checkpoint_callback)

    def save(self) -> None:
        """Count the call."""
        self.saves += 1

    def finalize(self, status: str) -> None:
        """Keep the status."""
        self.status = status

    def values(self, name: str) -> list[float]:
        """Return all values that were written under one name, in order."""
        return [metrics[name] for _, metrics in self.metrics if name in metrics]


FAKE_LOGGER_SPEC = LoggerSpec(name="fake", create=FakeLogger, summary="Keeps everything in memory, for tests.")
