from __future__ import annotations

from collections import UserDict, defaultdict
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from fulmen_interfaces import DType, PrecisionPolicy
from fulmen_precision import BF16_MIXED, FP16_MIXED, FP16_TRUE, FP32_TRUE, FP64_TRUE, TorchPrecision


def test_nothing_is_done_in_float32() -> None:
    precision = FP32_TRUE.create()
    module = nn.Linear(2, 2, dtype=torch.float64)
    assert precision.convert_module(module) is module
    assert module.weight.dtype is torch.float64
    assert precision.forward_context("cpu") is None
    assert precision.input_conversion() is None
    assert precision.grad_scaler("cpu") is None


def test_double_precision_keeps_digits_that_single_loses() -> None:
    precision = FP64_TRUE.create()
    with precision.init_context():
        layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1 + 2**-40)
    factory = precision.forward_context("cpu")
    assert factory is not None
    with factory():
        assert (layer(torch.ones(1)) - 1).item() == 2**-40


def test_gradients_of_a_weight_used_twice_are_summed_in_float32() -> None:
    # 1 and 2**-9 are both exact in bfloat16, their sum is not: the cache of autocast would add them there.
    factory = BF16_MIXED.create().forward_context("cpu")
    assert factory is not None
    layer = nn.Linear(1, 1, bias=False)
    with factory():
        first, second = layer(torch.tensor([[1.0]])), layer(torch.tensor([[2.0**-9]]))
    (first.sum().float() + second.sum().float()).backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.item() == 1 + 2**-9
    layer.weight.grad = None
    with torch.autocast("cpu", torch.bfloat16):
        first, second = layer(torch.tensor([[1.0]])), layer(torch.tensor([[2.0**-9]]))
    (first.sum().float() + second.sum().float()).backward()
    assert layer.weight.grad.item() == 1.0, "torch no longer loses this: the cache may be left on"


def test_gradients_too_small_for_float16_survive_with_the_scaler() -> None:
    precision = FP16_MIXED.create()
    factory, scaler = precision.forward_context("cpu"), precision.grad_scaler("cpu")
    assert factory is not None
    assert scaler is not None
    gradients = []
    for scale in (torch.Tensor.clone, scaler.scale):
        layer = nn.Linear(1, 1, bias=False)
        optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
        with factory():
            output = layer(torch.tensor([[2.0**-10]])).float() * 2.0**-20
        scale(output.sum()).backward()
        if scale is not torch.Tensor.clone:
            scaler.unscale_(optimizer)
        assert layer.weight.grad is not None
        gradients.append(layer.weight.grad.item())
    assert gradients == [0.0, 2.0**-30]


def test_buffers_may_have_a_type_of_their_own() -> None:
    policy = PrecisionPolicy("own", DType.BFLOAT16, DType.BFLOAT16, DType.FLOAT32, buffers=DType.FLOAT32)
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    running = module[1].running_mean
    running.fill_(1 / 3)
    TorchPrecision(policy).convert_module(module)
    assert module[1].weight.dtype is torch.bfloat16
    assert torch.equal(module[1].running_mean, torch.full((2,), 1 / 3)), "rounded on the way"
    assert module[1].num_batches_tracked.dtype is torch.int64


@dataclass(frozen=True)
class Frozen:
    x: torch.Tensor
    length: int = field(init=False)

    def __post_init__(self) -> None:
        if self.x.dtype is not torch.float32:
            raise TypeError("made with float32 alone")
        object.__setattr__(self, "length", len(self.x))


class Pairs(dict[str, Any]):
    """A dict whose constructor asks for something else."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


def convert(batch: Any) -> Any:
    conversion = FP16_TRUE.create().input_conversion()
    assert conversion is not None
    return conversion(batch)


def test_conversion_keeps_containers_that_are_hard_to_make() -> None:
    pairs = Pairs("some")
    pairs["x"] = torch.ones(1)
    default = defaultdict(list, x=torch.ones(1))
    user = UserDict(x=torch.ones(1))
    for batch in (pairs, default, user):
        result = convert(batch)
        assert type(result) is type(batch)
        assert result["x"].dtype is torch.float16
        assert batch["x"].dtype is torch.float32
    assert convert(pairs).name == "some"
    assert convert(default)["absent"] == []
    assert convert(MappingProxyType({"x": torch.ones(1)}))["x"].dtype is torch.float16


def test_conversion_does_not_make_a_dataclass_anew() -> None:
    result = convert([Frozen(torch.ones(3))])[0]
    assert (result.x.dtype, result.length) == (torch.float16, 3)


def test_conversion_reaches_packed_sequences() -> None:
    packed = nn.utils.rnn.pack_sequence([torch.ones(3, 2), torch.ones(1, 2)])
    result = convert(packed)
    assert isinstance(result, nn.utils.rnn.PackedSequence)
    assert result.data.dtype is torch.float16
    assert torch.equal(result.batch_sizes, packed.batch_sizes)


def test_what_is_no_floating_point_tensor_is_the_same_object() -> None:
    indices, text, kind = torch.arange(3), "text", Frozen
    assert convert((indices, text, kind)) == (indices, text, kind)
    assert convert((indices,))[0] is indices
