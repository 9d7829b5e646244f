"""What is asked of accelerators, and of strategies and precisions on them; skipped with the reason where no GPU is."""

from __future__ import annotations

from fulmen_accelerator_cuda import CUDA_SPEC
from fulmen_precision import BF16_MIXED, BF16_TRUE, FP16_MIXED, FP16_TRUE, FP32_TRUE, FP64_TRUE
from fulmen_strategy_single_device import SINGLE_DEVICE_SPEC
from fulmen_testing import AcceleratorConformance, PrecisionConformance, StrategyConformance


class TestCUDA(AcceleratorConformance):
    spec = CUDA_SPEC


class TestSingleDeviceOnCUDA(StrategyConformance):
    spec = SINGLE_DEVICE_SPEC
    accelerator = CUDA_SPEC


class OnCUDA(PrecisionConformance):
    accelerator = CUDA_SPEC


class Test32TrueOnCUDA(OnCUDA):
    spec = FP32_TRUE


class Test64TrueOnCUDA(OnCUDA):
    spec = FP64_TRUE


class Test16TrueOnCUDA(OnCUDA):
    spec = FP16_TRUE


class TestBF16TrueOnCUDA(OnCUDA):
    spec = BF16_TRUE


class Test16MixedOnCUDA(OnCUDA):
    spec = FP16_MIXED


class TestBF16MixedOnCUDA(OnCUDA):
    spec = BF16_MIXED
