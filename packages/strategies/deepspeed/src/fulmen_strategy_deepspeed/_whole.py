"""The model as every rank has it where nothing is trained and nothing is in pieces."""

from __future__ import annotations

from itertools import chain

import torch

from fulmen_distributed import PlainModel, copy_from_rank_zero
from fulmen_interfaces import PrepareRequest, StateDictType


def whole_model(request: PrepareRequest, device: torch.device, state_dict_type: StateDictType) -> PlainModel:
    """Place the model, with the weights of rank zero."""
    request.entry.to(device)
    copy_from_rank_zero(chain(request.entry.parameters(), request.entry.buffers()))
    return PlainModel(
        module=request.module,
        training_module=request.entry,
        evaluation_module=request.entry,
        optimizers=(),
        precision=request.precision,
        device_type=device.type,
        state_dict_type=state_dict_type,
    )
