from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.optim import LBFGS, SGD, Optimizer

from fulmen_accelerator_cpu import CPU_SPEC
from fulmen_interfaces import ConfigurationError
from fulmen_strategy_fairscale import DDP_SHARDED_SPAWN_SPEC, DDP_SHARDED_SPEC, DDPShardedStrategy
from fulmen_strategy_fairscale._checks import check_optimizers
from fulmen_testing import StrategyConformance


class TestConformance(StrategyConformance):
    spec = DDP_SHARDED_SPEC
    accelerator = CPU_SPEC


def test_objects_say_how_their_processes_are_started() -> None:
    specs = {method: DDPShardedStrategy(start_method=method).spec for method in ("popen", "spawn")}
    assert specs == {"popen": DDP_SHARDED_SPEC, "spawn": DDP_SHARDED_SPAWN_SPEC}


def test_what_fairscale_cannot_do_is_refused_together() -> None:
    with pytest.raises(ConfigurationError) as caught:
        DDPShardedStrategy(start_method="fork", find_unused_parameters=True)  # type: ignore[arg-type]
    assert [problem.argument for problem in caught.value.problems] == ["start_method", "find_unused_parameters"]
    assert "ddp_find_unused_parameters_true" in str(caught.value)


def refusal(optimizers: list[Optimizer]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        check_optimizers(optimizers, strategy="ddp_sharded", world_size=2)
    return str(caught.value)


def test_optimizers_that_cannot_be_shared_out_are_refused() -> None:
    layer = nn.Linear(2, 2)
    assert "LBFGS looks at all parameters together" in refusal([LBFGS(layer.parameters())])
    assert "torch.float32, torch.float64" in refusal([SGD([layer.weight, nn.Parameter(torch.ones(1).double())])])
    assert "in common" in refusal([SGD(layer.parameters()), SGD([layer.weight])])
    check_optimizers([LBFGS(layer.parameters())], strategy="ddp_sharded", world_size=1)


def test_the_library_is_imported_only_where_it_is_used() -> None:
    code = "import fulmen_strategy_fairscale, sys; sys.exit('fairscale' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
