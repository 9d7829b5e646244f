"""DDP keeps the contract of strategies, and says how its processes are started."""

from __future__ import annotations

import pytest

from fulmen_accelerator_cpu import CPU_SPEC
from fulmen_interfaces import ConfigurationError
from fulmen_strategy_ddp import DDP_FORK_SPEC, DDP_FORKSERVER_SPEC, DDP_SPAWN_SPEC, DDP_SPEC, DDPStrategy
from fulmen_testing import StrategyConformance


class TestConformance(StrategyConformance):
    spec = DDP_SPEC
    accelerator = CPU_SPEC


def test_objects_say_how_their_processes_are_started() -> None:
    specs = {method: DDPStrategy(start_method=method).spec for method in ("popen", "spawn", "fork", "forkserver")}
    assert specs == {
        "popen": DDP_SPEC,
        "spawn": DDP_SPAWN_SPEC,
        "fork": DDP_FORK_SPEC,
        "forkserver": DDP_FORKSERVER_SPEC,
    }
    with pytest.raises(ConfigurationError, match="popen, spawn, fork or forkserver"):
        DDPStrategy(start_method="thread")  # type: ignore[arg-type]
