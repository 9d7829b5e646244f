"""What strategies do to a module before they wrap it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor

from fulmen_distributed._plain_model import PlainModel
from fulmen_interfaces import BrokenPlugin, PrepareRequest, StateDictType


def convert_in_place(request: PrepareRequest) -> None:
    """Give the module the precision's types. Raises BrokenPlugin where the precision makes another module of it."""
    precision, module = request.precision, request.module
    if precision.convert_module(module) is not module:
        raise BrokenPlugin(
            f"The precision {precision.policy.name!r} made a new module out of {type(module).__name__}. Steps run in "
            "the user's own module, so it must be converted in place. Its author must correct `convert_module`."
        )


def plain_model(
    request: PrepareRequest, device: torch.device, *, state_dict_type: StateDictType = StateDictType.FULL
) -> PlainModel:
    """Convert and place the module, make its optimizers over what was placed, and return the model, unwrapped."""
    convert_in_place(request)
    request.entry.to(device)
    optimizers = tuple(request.make_optimizers())
    return PlainModel(
        module=request.module,
        training_module=request.entry,
        evaluation_module=request.entry,
        optimizers=optimizers,
        precision=request.precision,
        device_type=device.type,
        scaler=request.precision.grad_scaler(device.type) if optimizers else None,
        state_dict_type=state_dict_type,
    )


def copy_from_rank_zero(tensors: Iterable[Tensor]) -> None:
    """Give every rank the values that rank zero has. On all ranks, with the same tensors in the same order."""
    for tensor in tensors:
        values = tensor.detach().contiguous()
        dist.broadcast(values, src=0)
        if values.data_ptr() != tensor.data_ptr():
            tensor.detach().copy_(values)
