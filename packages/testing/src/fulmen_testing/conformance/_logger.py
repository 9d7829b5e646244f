"""What every logger must do."""
# ruff: noqa: S101

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fulmen_interfaces import LOGGERS, Logger, LoggerSpec, RunStatus
from fulmen_testing._boring import BoringModule
from fulmen_testing.conformance._base import Conformance

Row = tuple[int | None, Mapping[str, float]]


class LoggerConformance(Conformance):
    """Writes through the logger as a run does. The author says how to read back what was written."""

    role = LOGGERS
    spec: ClassVar[LoggerSpec]

    def read_back(self, plugin: Logger) -> Sequence[Row]:
        """Return (step, metrics) as they lie in the logger's own store, in order; read them without the logger."""
        raise NotImplementedError(f"{type(self).__name__} must override `read_back` to say how its store is read.")

    def test_implements_the_contract(self, plugin: Any) -> None:
        """If it fails: derive from `Logger`; `name` and `version` become part of paths."""
        assert isinstance(plugin, Logger)
        assert plugin.name is None or isinstance(plugin.name, str)
        assert plugin.version is None or isinstance(plugin.version, (int, str))
        assert len(plugin.group_separator) == 1

    def test_metrics_are_all_written(self, plugin: Logger) -> None:
        """If it fails: after `save` every value must be in the store, under its step, also where names change."""
        plugin.log_metrics({"loss": 1.0, "epoch": 0}, step=0)
        plugin.log_metrics({"loss": 0.5}, step=1)
        plugin.log_metrics({"val/acc": 0.25, "loss": 0.125}, step=3)
        plugin.save()
        rows = self.read_back(plugin)
        values = {(step, name): value for step, metrics in rows for name, value in metrics.items()}
        expected = {(0, "loss"): 1.0, (0, "epoch"): 0, (1, "loss"): 0.5, (3, "val/acc"): 0.25, (3, "loss"): 0.125}
        assert values == expected

    def test_what_is_written_after_a_save_is_added(self, plugin: Logger) -> None:
        """If it fails: `save` is called after each flush; it must neither drop nor repeat what was written before."""
        for step in range(3):
            plugin.log_metrics({"loss": float(step)}, step=step)
            plugin.save()
        assert [(step, dict(metrics)) for step, metrics in self.read_back(plugin)] == [
            (step, {"loss": float(step)}) for step in range(3)
        ]

    def test_finalize_writes_what_is_held_back(self, plugin: Logger) -> None:
        """If it fails: the end of a run must leave nothing unwritten."""
        plugin.log_metrics({"loss": 1.0}, step=0)
        plugin.finalize(str(RunStatus.FINISHED))
        assert [dict(metrics) for _, metrics in self.read_back(plugin)] == [{"loss": 1.0}]

    @pytest.mark.parametrize("status", [RunStatus.FINISHED, RunStatus.INTERRUPTED, RunStatus.FAILED], ids=str)
    def test_a_run_may_end_in_any_way(self, plugin: Logger, status: RunStatus) -> None:
        """If it fails: `finalize` is called also where nothing was logged, because the run failed early."""
        plugin.finalize(str(status))

    def test_hyperparameters_may_be_a_mapping_or_a_namespace(self, plugin: Logger) -> None:
        """If it fails: accept both, nested, with values that are not plain; `plain_params` brings them into form."""
        plugin.log_hyperparams({"lr": 0.1, "nested": {"path": Path("x")}, "none": None})
        plugin.log_hyperparams(Namespace(lr=0.1))
        plugin.save()

    def test_graphs_can_always_be_offered(self, plugin: Logger) -> None:
        """If it fails: where a graph cannot be recorded, `log_graph` leaves it out, with or without an input."""
        module = BoringModule()
        plugin.log_graph(module)
        plugin.log_graph(module, module.example_input_array)

    def test_directories_lie_in_one_another(self, plugin: Logger) -> None:
        """If it fails: `log_dir` is the version's directory below `save_dir`, so that checkpoints can go beside it."""
        if plugin.save_dir is None or plugin.log_dir is None:
            pytest.skip("writes no files")
        assert Path(plugin.log_dir).is_relative_to(plugin.save_dir)
