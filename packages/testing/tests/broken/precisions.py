"""Precisions with one defect each, and the test that must find it."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from fulmen_interfaces import DType, PrecisionPolicy, PrecisionSpec
from fulmen_testing import FakePrecision, PrecisionConformance

HALF = PrecisionPolicy("half", DType.BFLOAT16, DType.BFLOAT16, DType.BFLOAT16, DType.BFLOAT16)


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def to_half(batch: Any) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch.bfloat16() if batch.is_floating_point() else batch
    if isinstance(batch, dict):
        return type(batch)((key, to_half(value)) for key, value in batch.items())
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(to_half, batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(map(to_half, batch))
    if hasattr(batch, "__dataclass_fields__"):
        return replace(batch, **{name: to_half(value) for name, value in vars(batch).items()})
    return batch


class Sound(FakePrecision):
    policy = HALF

    def convert_module(self, module: nn.Module) -> nn.Module:
        return module.bfloat16()

    def input_conversion(self) -> Any:
        return to_half

    def init_context(self) -> Any:
        return default_dtype(torch.bfloat16)

    def forward_context(self, device_type: str) -> Any:
        return partial(default_dtype, torch.bfloat16)


class OtherPolicy(Sound):
    policy = replace(HALF, name="other")


class Copies(Sound):
    def convert_module(self, module: nn.Module) -> nn.Module:
        return copy.deepcopy(module).bfloat16()


class ConvertsEverything(Sound):
    def convert_module(self, module: nn.Module) -> nn.Module:
        for owner in module.modules():
            for name, buffer in owner.named_buffers(recurse=False):
                setattr(owner, name, buffer.bfloat16())
        return module.bfloat16()


class UntiesWeights(Sound):
    def convert_module(self, module: nn.Module) -> nn.Module:
        for owner in module.modules():
            for name, parameter in list(owner.named_parameters(recurse=False)):
                setattr(owner, name, nn.Parameter(parameter.bfloat16()))
        return module.bfloat16()


class LooksIntoTuplesAlone(Sound):
    def input_conversion(self) -> Any:
        return lambda batch: to_half(batch) if isinstance(batch, tuple) else batch


class ConvertsInPlace(Sound):
    def input_conversion(self) -> Any:
        def convert(batch: Any) -> Any:
            if isinstance(batch, dict):
                batch.update(to_half(batch))
                return batch
            return to_half(batch)

        return convert


class ForgetsToRestore(Sound):
    def forward_context(self, device_type: str) -> Any:
        @contextlib.contextmanager
        def leaky() -> Any:
            before = torch.get_default_dtype()
            torch.set_default_dtype(torch.bfloat16)
            yield
            torch.set_default_dtype(before)

        return leaky


class InitsInFloat32(Sound):
    def init_context(self) -> Any:
        return contextlib.nullcontext()


class ScalesUnasked(Sound):
    def grad_scaler(self, device_type: str) -> Any:
        return torch.amp.GradScaler(device_type)


class ComputesElsewhere(Sound):
    def forward_context(self, device_type: str) -> Any:
        return partial(torch.autocast, device_type, torch.float16)


FOUND_BY = {
    Sound: "",
    OtherPolicy: "test_implements_the_contract",
    Copies: "test_converts_weights_in_place",
    ConvertsEverything: "test_leaves_what_is_not_floating_point",
    UntiesWeights: "test_keeps_tied_weights_tied",
    LooksIntoTuplesAlone: "test_converts_batches_however_nested",
    ConvertsInPlace: "test_converts_batches_however_nested",
    ForgetsToRestore: "test_context_can_be_entered_again",
    InitsInFloat32: "test_new_modules_have_the_policys_types",
    ScalesUnasked: "test_scales_the_loss_if_the_policy_says_so",
    ComputesElsewhere: "test_computes_in_the_policys_type",
}

for broken in FOUND_BY:
    name = f"Test{broken.__name__}"
    spec = PrecisionSpec(name="half", create=broken, summary="Broken.", policy=HALF)
    globals()[name] = type(name, (PrecisionConformance,), {"spec": spec, "__module__": __name__})
EXPECTED = {f"Test{broken.__name__}": test for broken, test in FOUND_BY.items()}
