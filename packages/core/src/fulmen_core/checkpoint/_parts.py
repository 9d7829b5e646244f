"""A checkpoint's states, divided into what is written tensor by tensor and what goes into the plain file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils._pytree import tree_map_only

from fulmen_core.checkpoint._layout import (
    FORMAT_VERSION,
    GRADIENTS,
    MODEL,
    OPTIMIZER_STATES,
    OPTIMIZERS,
    SHARDED_KEY,
    STATE,
    STATE_DICT,
    gradients_entry,
    optimizer_entry,
)


@dataclass(frozen=True)
class Parts:
    """What one process has of the states of model and optimizers."""

    tensors: Mapping[str, Any]
    """By nested names; none of the dicts is empty."""
    plain: Mapping[str, Any]
    """What is no tensor."""

    @classmethod
    def of(cls, checkpoint: Mapping[str, Any], rank: int) -> Parts:
        """Divide a checkpoint's states. On all ranks: DTensors within other values are gathered."""
        tensors: dict[str, Any] = {gradients_entry(rank): checkpoint.get(GRADIENTS, {})}
        plain: dict[str, Any] = {}
        if STATE_DICT in checkpoint:
            model = checkpoint[STATE_DICT]
            tensors[MODEL] = {name: value.detach() for name, value in model.items() if _is_stored(value)}
            plain[MODEL] = {name: _whole(value) for name, value in model.items() if not _is_stored(value)}
        if OPTIMIZER_STATES in checkpoint:
            plain[OPTIMIZERS] = []
            for number, state in enumerate(checkpoint[OPTIMIZER_STATES]):
                stored, rest = _divide_optimizer(state)
                if stored:
                    tensors[optimizer_entry(number)] = {STATE: stored}
                plain[OPTIMIZERS].append(rest)
        return cls({name: value for name, value in tensors.items() if value}, plain)


def plain_file(checkpoint: Mapping[str, Any], plain_of_ranks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what goes into the plain file: all of the checkpoint but the tensors of its states."""
    rest = {key: value for key, value in checkpoint.items() if key not in (STATE_DICT, OPTIMIZER_STATES, GRADIENTS)}
    return {
        **rest,
        SHARDED_KEY: {"format": FORMAT_VERSION, "processes": len(plain_of_ranks), **_merged(plain_of_ranks)},
    }


def _divide_optimizer(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    stored: dict[str, dict[str, Tensor]] = {}
    plain: dict[str, Any] = {}
    for parameter, values in state[STATE].items():
        for key, value in values.items():
            if _is_stored(value) and "." not in key:
                stored.setdefault(parameter, {})[key] = value.detach()
            else:
                plain[f"{parameter}.{key}"] = _whole(value)
    others = {key: value for key, value in state.items() if key not in (STATE, "param_groups")}
    return stored, {"param_groups": state["param_groups"], STATE: plain, "others": others}


def _merged(plain_of_ranks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return rank zero's values, and of the states also those that only other ranks have."""
    first = dict(plain_of_ranks[0])
    for number, optimizer in enumerate(first.get(OPTIMIZERS, ())):
        for other in plain_of_ranks[1:]:
            optimizer[STATE] = {**other[OPTIMIZERS][number][STATE], **optimizer[STATE]}
    if MODEL in first:
        for other in plain_of_ranks[1:]:
            first[MODEL] = {**other[MODEL], **first[MODEL]}
    return first


def _is_stored(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided and not value.is_quantized


def _whole(value: Any) -> Any:
    return tree_map_only(DTensor, DTensor.full_tensor, value)
