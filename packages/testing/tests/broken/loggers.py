"""Loggers with one defect each, and the test that must find it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fulmen_interfaces import Logger
from fulmen_testing import FAKE_LOGGER_SPEC, FakeLogger, LoggerConformance


class KeepsTheLastNames(FakeLogger):
    def log_metrics(self, metrics: Any, step: Any = None) -> None:
        known = self.metrics[0][1] if self.metrics else metrics
        super().log_metrics({name: value for name, value in metrics.items() if name in known}, step)


class ForgetsOnSave(FakeLogger):
    def save(self) -> None:
        if len(self.metrics) > 1:
            self.metrics = self.metrics[-1:]


class HoldsBack(FakeLogger):
    def __init__(self) -> None:
        super().__init__()
        self.pending: list[Any] = []

    def log_metrics(self, metrics: Any, step: Any = None) -> None:
        self.pending.append((step, dict(metrics)))

    def save(self) -> None:
        self.metrics += self.pending
        self.pending = []

    def finalize(self, status: str) -> None:
        pass


class NeedsMetrics(FakeLogger):
    def finalize(self, status: str) -> None:
        self.metrics[0]


class WantsAMapping(FakeLogger):
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        dict(params)


class NeedsAnInput(FakeLogger):
    def log_graph(self, model: Any, input_array: Any = None) -> None:
        model(input_array)


class LivesElsewhere(FakeLogger):
    save_dir = "/some/where"
    log_dir = "/else/where"


class NotALogger:
    name = version = None
    group_separator = "/"


FOUND_BY = {
    KeepsTheLastNames: "test_metrics_are_all_written",
    ForgetsOnSave: "test_what_is_written_after_a_save_is_added",
    HoldsBack: "test_finalize_writes_what_is_held_back",
    NeedsMetrics: "test_a_run_may_end_in_any_way[failed]",
    WantsAMapping: "test_hyperparameters_may_be_a_mapping_or_a_namespace",
    NeedsAnInput: "test_graphs_can_always_be_offered",
    LivesElsewhere: "test_directories_lie_in_one_another",
    NotALogger: "test_implements_the_contract",
}


def read_back(self: Any, plugin: Logger) -> Any:
    return plugin.metrics  # type: ignore[attr-defined]


for broken in FOUND_BY:
    name = f"Test{broken.__name__}"
    members = {"spec": replace(FAKE_LOGGER_SPEC, create=broken), "read_back": read_back, "__module__": __name__}
    globals()[name] = type(name, (LoggerConformance,), members)
EXPECTED = {f"Test{broken.__name__}": test for broken, test in FOUND_BY.items()}
