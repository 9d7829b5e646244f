"""The gradients of the coming step, which lie in pieces: bounded, multiplied, and read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from fulmen_interfaces import ClipAlgorithm, ConfigurationError, FulmenError, GradientClipping, Problem
from fulmen_strategy_deepspeed._pieces import Pieces


def bound(zero: Any, clipping: GradientClipping, *, stage: int) -> Tensor | None:
    """Bound the gradients of the coming step; return their norm over all ranks where the bound is one on the norm.

    A norm is computed here and the gradients are scaled by ZeRO itself, in its step. Values are clamped at once.
    """
    if clipping.algorithm is ClipAlgorithm.VALUE:
        limit = clipping.limit * float(zero.loss_scale)
        for gradient in chain.from_iterable(_by_group(zero, stage)):
            gradient.clamp_(-limit, limit)
        return None
    if clipping.norm_type != 2:
        reason, remedy = "DeepSpeed bounds the 2-norm only.", "Leave it out, or use strategy='fsdp'."
        raise ConfigurationError([Problem("norm_type", clipping.norm_type, reason, remedy)])
    zero.clip_grad = clipping.limit
    return _norm(zero, stage)


def multiply(zero: Any, factor: float, *, stage: int) -> None:
    """Multiply the gradients of the coming step."""
    for gradient in chain.from_iterable(_by_group(zero, stage)):
        gradient.mul_(factor)
    if is_offloaded(zero, stage):  # norms were taken where the gradients came from
        zero.norm_for_param_grads = {key: norm * abs(factor) for key, norm in zero.norm_for_param_grads.items()}


def parts_of_step(zero: Any, pieces: Pieces, *, stage: int) -> dict[nn.Parameter, Tensor]:
    """Return copies of this rank's parts of the gradients of the coming step, flat, by parameter."""
    parts = {}
    for (_, parameters), gradients in zip(pieces.groups, _by_group(zero, stage), strict=True):
        flat = torch.cat([one.reshape(-1) for one in gradients])
        parts.update({one: pieces.places[one].read(flat).clone() for one in parameters})
    return parts


def is_offloaded(zero: Any, stage: int) -> bool:
    """Return whether the optimizer steps in the host's memory."""
    return bool(zero.offload_optimizer if stage == 3 else zero.cpu_offload)


def _by_group(zero: Any, stage: int) -> Iterator[list[Tensor]]:
    """Yield for each group the tensors that the step will read, one after the other as in its flat tensor."""
    flats = zero.fp32_partitioned_groups_flat if stage == 3 else zero.single_partition_of_fp32_groups
    offloaded = is_offloaded(zero, stage)
    for number, flat in enumerate(flats):
        if offloaded and flat.grad is None:
            raise FulmenError(
                "Gradients were to be clamped, multiplied or saved, but lie on NVMe drives. Clip them by their norm "
                "and save where a step has just ended, or offload the optimizer to the host's memory."
            )
        yield [flat.grad] if offloaded else list(zero.averaged_gradients[number])


def _norm(zero: Any, stage: int) -> Tensor:
    if stage != 3:
        norm = zero.scaled_global_norm()
    else:
        from deepspeed.runtime.utils import combine_grad_norm_groups

        norm = combine_grad_norm_groups(zero._get_norm_groups())
    return torch.as_tensor(norm / zero.loss_scale)
