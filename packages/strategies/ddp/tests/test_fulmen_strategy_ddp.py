from __future__ import annotations

from fulmen_strategy_ddp import DDP_SPEC
from fulmen_testing.conformance import StrategyConformance


class TestDdp(StrategyConformance):
    spec = DDP_SPEC
