from __future__ import annotations

import pytest

from fulmen_interfaces import PRECISIONS, Catalogue, DType
from fulmen_precision import BF16_MIXED, BF16_TRUE, FP16_MIXED, FP16_TRUE, FP32_TRUE, FP64_TRUE
from fulmen_testing import PrecisionConformance


class TestFP64True(PrecisionConformance):
    spec = FP64_TRUE


class TestFP32True(PrecisionConformance):
    spec = FP32_TRUE


class TestFP16True(PrecisionConformance):
    spec = FP16_TRUE


class TestBF16True(PrecisionConformance):
    spec = BF16_TRUE


class TestFP16Mixed(PrecisionConformance):
    spec = FP16_MIXED


class TestBF16Mixed(PrecisionConformance):
    spec = BF16_MIXED


@pytest.mark.parametrize(
    ("written", "meant"),
    [("64", "64-true"), ("32", "32-true"), ("16", "16-mixed"), ("bf16", "bf16-mixed"), ("bf16-true", "bf16-true")],
)
def test_short_spellings_lead_to_the_same_precision(written: str, meant: str) -> None:
    found = Catalogue.installed().find(PRECISIONS, written)
    assert found.spec.name == meant
    assert found.create().policy.name == meant


def test_mixed_precision_keeps_weights_gradients_and_buffers_in_float32() -> None:
    for spec, compute in ((FP16_MIXED, DType.FLOAT16), (BF16_MIXED, DType.BFLOAT16)):
        policy = spec.policy
        assert policy.compute is compute
        assert policy.autocast
        assert {policy.parameters, policy.reduce, policy.buffers} == {DType.FLOAT32}


def test_only_mixed_float16_scales_the_loss() -> None:
    specs = [FP64_TRUE, FP32_TRUE, FP16_TRUE, BF16_TRUE, FP16_MIXED, BF16_MIXED]
    assert [spec.name for spec in specs if spec.policy.loss_scaling] == ["16-mixed"]
