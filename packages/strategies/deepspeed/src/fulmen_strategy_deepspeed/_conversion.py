"""What becomes of the precision: entries of DeepSpeed's config, and how steps get their inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from fulmen_interfaces import DType, Precision
from fulmen_strategy_deepspeed._model import Conversions
from fulmen_strategy_deepspeed._optimizers import is_offloading

TORCH_DTYPES = {DType.FLOAT32: torch.float32, DType.FLOAT16: torch.float16, DType.BFLOAT16: torch.bfloat16}
_WORDS = {DType.FLOAT16: "fp16", DType.BFLOAT16: "bf16"}


def apply_precision(config: dict[str, Any], precision: Precision, device_type: str) -> Conversions:
    """Write the policy into the config, where that does not say more about it itself.

    32-true needs nothing. Under bf16-mixed weights stay float32 and the engine uses autocast; if the config enables
    bf16, or under 16-mixed, weights are rounded to the low type and kept in float32 once more. Under bf16-true there
    is nothing but bfloat16, unless states are offloaded: DeepSpeed keeps float32 in the host's memory.
    """
    policy = precision.policy
    word = _WORDS.get(policy.compute)
    if word is None:
        config["fp16"] = {**config.get("fp16", {}), "enabled": False}
        return Conversions()
    section = config.setdefault(word, {})
    if not policy.autocast:
        alone = not is_offloading(config)
        _default(section, enabled=True, bf16_master_weights_and_grads=alone, bf16_optimizer_states=alone)
        masters = not section["bf16_master_weights_and_grads"]
        return Conversions(
            forward_context=precision.forward_context(device_type),
            input_conversion=precision.input_conversion(),
            masters=masters,
        )
    if policy.loss_scaling or section.get("enabled"):
        section["enabled"] = True
        _default(config.setdefault("data_types", {}), buffer_dtype=word)
        convert = partial(convert_floats, dtype=TORCH_DTYPES[policy.compute])
        return Conversions(input_conversion=convert, masters=True)
    autocast = config.setdefault("torch_autocast", {})
    _default(autocast, enabled=True, dtype="bfloat16", lower_precision_safe_modules=[])
    return Conversions(forward_context=precision.forward_context(device_type))


def convert_floats(value: Any, *, dtype: torch.dtype) -> Any:
    """Return the same with floating-point tensors converted, however they are nested."""
    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, Mapping):
        found: Any = {key: convert_floats(one, dtype=dtype) for key, one in value.items()}
        return found if type(value) is dict else type(value)(found)  # type: ignore[call-arg]
    if isinstance(value, (list, tuple)):
        parts = [convert_floats(one, dtype=dtype) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {one.name: getattr(value, one.name) for one in dataclasses.fields(value) if one.init}
        return dataclasses.replace(value, **{name: convert_floats(one, dtype=dtype) for name, one in fields.items()})
    return value


def _default(section: dict[str, Any], **values: Any) -> None:
    for name, value in values.items():
        section.setdefault(name, value)
