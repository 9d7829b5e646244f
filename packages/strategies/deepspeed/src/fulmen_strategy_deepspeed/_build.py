"""What lies between a request and DeepSpeed's engine."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from fulmen_distributed import convert_in_place, copy_from_rank_zero
from fulmen_interfaces import ConfigurationError, ModuleError, PrepareRequest, Problem
from fulmen_strategy_deepspeed._activations import configure_activations
from fulmen_strategy_deepspeed._conversion import TORCH_DTYPES
from fulmen_strategy_deepspeed._model import Conversions
from fulmen_strategy_deepspeed._pieces import is_in_pieces


def convert(request: PrepareRequest, conversions: Conversions) -> None:
    """Convert the module to the precision's types; what was made in pieces must have them already."""
    module, policy = request.module, request.precision.policy
    made = [one for one in module.parameters() if is_in_pieces(one) and one.is_floating_point()]
    wanted = TORCH_DTYPES[policy.compute if conversions.masters else policy.parameters]
    wrong = {one.dtype for one in made} - {wanted}
    if wrong:
        reason = f"The module was made in pieces of {wrong.pop()}, but is to be trained in {wanted}."
        remedy = (
            "Make it in `configure_model` of the same run; where weights are kept twice, enable fp16 or bf16 in "
            "the config, so that this is known then."
        )
        raise ConfigurationError([Problem("precision", policy.name, reason, remedy)])
    convert_in_place(request)
    for one in module.parameters() if made and conversions.masters else ():
        if one.is_floating_point() and not is_in_pieces(one):
            one.data = one.data.to(wanted)


def complete(config: dict[str, Any], device_type: str) -> None:
    """Write into the config what DeepSpeed would take otherwise: the loop says where steps end and what is clipped."""
    config["gradient_accumulation_steps"] = 1  # losses come divided by the window's size
    config.setdefault("train_micro_batch_size_per_gpu", 1)
    config.setdefault("gradient_clipping", 0.0)  # left out, DeepSpeed would clip
    config.setdefault(
        "zero_force_ds_cpu_optimizer", False
    )  # left out, it would take no other where states are offloaded
    zero = config["zero_optimization"]
    if zero["stage"] == 3 and device_type == "cpu":
        zero.setdefault("memory_efficient_linear", False)  # it would save device memory by replacing F.linear


def make_engine(
    library: ModuleType,
    request: PrepareRequest,
    *,
    config: dict[str, Any],
    optimizers: Sequence[Optimizer],
    device: torch.device,
) -> tuple[Any, list[list[nn.Parameter]]]:
    """Return the engine, and the parameters by group of its optimizer; none where nothing is trained."""
    _check_shapes(request.entry)
    groups = [list(group["params"]) for one in optimizers for group in one.param_groups if group["params"]]
    parameters = None
    if not optimizers and "optimizer" in config and request.training:
        parameters = [one for one in request.module.parameters() if one.requires_grad]
        groups = [parameters]
    if not groups:
        config.pop("optimizer", None)
        config.pop("scheduler", None)
    configure_activations(library, config)
    for buffer in request.entry.buffers():
        buffer.data = buffer.data.to(device)  # where weights are in pieces already, the engine moves nothing
    engine, *_ = library.initialize(
        model=request.entry,
        optimizer=optimizers[0] if optimizers else None,
        model_parameters=parameters,
        config=config,
        dist_init_required=False,
    )
    copy_from_rank_zero(request.entry.buffers())  # weights were copied by the engine
    return engine, groups


def _check_shapes(module: nn.Module) -> None:
    """Raise ModuleError where a parameter has a shape that DeepSpeed cannot send to the other ranks."""
    for name, parameter in module.named_parameters():
        if not parameter.dim():
            raise ModuleError(
                f"{name} is a parameter without dimensions, which DeepSpeed cannot send to other processes. Give it "
                "one: write `nn.Parameter(torch.tensor([value]))`."
            )
