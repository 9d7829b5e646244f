"""The policies by the names that users write."""

from __future__ import annotations

from functools import partial

from fulmen_interfaces import Alias, DType, PrecisionPolicy, PrecisionSpec
from fulmen_precision._torch_precision import TorchPrecision


def _true(name: str, dtype: DType, summary: str) -> PrecisionSpec:
    """Everything in one type."""
    policy = PrecisionPolicy(name, parameters=dtype, compute=dtype, reduce=dtype, buffers=dtype)
    return _spec(policy, summary)


def _mixed(name: str, compute: DType, summary: str, *, loss_scaling: bool = False) -> PrecisionSpec:
    """Weights, their gradients and buffers stay float32; operations that bear it run in `compute`."""
    full = DType.FLOAT32
    policy = PrecisionPolicy(name, full, compute, full, full, autocast=True, loss_scaling=loss_scaling)
    return _spec(policy, summary)


def _spec(policy: PrecisionPolicy, summary: str) -> PrecisionSpec:
    return PrecisionSpec(name=policy.name, create=partial(TorchPrecision, policy), summary=summary, policy=policy)


FP64_TRUE = _true("64-true", DType.FLOAT64, "Everything in double precision.")
FP32_TRUE = _true("32-true", DType.FLOAT32, "Everything in single precision, as torch does by itself.")
FP16_TRUE = _true("16-true", DType.FLOAT16, "Everything in float16: half the memory, rarely fit for training.")
BF16_TRUE = _true("bf16-true", DType.BFLOAT16, "Everything in bfloat16: half the memory.")
FP16_MIXED = _mixed("16-mixed", DType.FLOAT16, "Operations in float16, weights in float32.", loss_scaling=True)
BF16_MIXED = _mixed("bf16-mixed", DType.BFLOAT16, "Operations in bfloat16, weights in float32.")

ALIAS_64 = Alias(name="64", target="64-true")
ALIAS_32 = Alias(name="32", target="32-true")
ALIAS_16 = Alias(name="16", target="16-mixed")
ALIAS_BF16 = Alias(name="bf16", target="bf16-mixed")
