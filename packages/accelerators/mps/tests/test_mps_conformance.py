"""What is asked of accelerators, and of strategies and precisions on them; skipped with the reason elsewhere."""

from __future__ import annotations

from fulmen_accelerator_mps import MPS_SPEC
from fulmen_precision import BF16_MIXED, FP16_MIXED, FP32_TRUE
from fulmen_strategy_single_device import SINGLE_DEVICE_SPEC
from fulmen_testing import AcceleratorConformance, PrecisionConformance, StrategyConformance


class TestMPS(AcceleratorConformance):
    spec = MPS_SPEC


class TestSingleDeviceOnMPS(StrategyConformance):
    spec = SINGLE_DEVICE_SPEC
    accelerator = MPS_SPEC


class Test32TrueOnMPS(PrecisionConformance):
    accelerator = MPS_SPEC
    spec = FP32_TRUE


class Test16MixedOnMPS(PrecisionConformance):
    accelerator = MPS_SPEC
    spec = FP16_MIXED


class TestBF16MixedOnMPS(PrecisionConformance):
    accelerator = MPS_SPEC
    spec = BF16_MIXED
