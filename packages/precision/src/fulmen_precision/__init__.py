"""The precisions of fulmen: policies as data, and what executes them with torch."""

from __future__ import annotations

from fulmen_precision._specs import (
    ALIAS_16,
    ALIAS_32,
    ALIAS_64,
    ALIAS_BF16,
    BF16_MIXED,
    BF16_TRUE,
    FP16_MIXED,
    FP16_TRUE,
    FP32_TRUE,
    FP64_TRUE,
)
from fulmen_precision._torch_precision import TorchPrecision

__all__ = [
    "ALIAS_16",
    "ALIAS_32",
    "ALIAS_64",
    "ALIAS_BF16",
    "BF16_MIXED",
    "BF16_TRUE",
    "FP16_MIXED",
    "FP16_TRUE",
    "FP32_TRUE",
    "FP64_TRUE",
    "TorchPrecision",
]
