"""What fulmen asks of every accelerator, and of strategies and precisions on this one."""

from __future__ import annotations

from typing import Any

from acme_sim import SIM_SPEC

from fulmen_interfaces import PRECISIONS, STRATEGIES, Catalogue
from fulmen_testing import AcceleratorConformance, PrecisionConformance, StrategyConformance


class TestSim(AcceleratorConformance):
    spec = SIM_SPEC


class TestSingleDeviceOnSim(StrategyConformance):
    spec = Catalogue.installed().find(STRATEGIES, "single_device").spec
    accelerator = SIM_SPEC


class OnSim(PrecisionConformance):
    accelerator = SIM_SPEC

    @staticmethod
    def installed(name: str) -> Any:
        return Catalogue.installed().find(PRECISIONS, name).spec


class Test32TrueOnSim(OnSim):
    spec = OnSim.installed("32-true")


class Test64TrueOnSim(OnSim):
    spec = OnSim.installed("64-true")


class TestBF16TrueOnSim(OnSim):
    spec = OnSim.installed("bf16-true")
