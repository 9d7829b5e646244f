"""Gradients of parameters that no wrapper averages over processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from fulmen_interfaces import Collectives


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter], collectives: Collectives) -> None:
    """Make gradients the mean over all processes: zeros count where one has none. To be called on every rank.

    Those that are the same everywhere stay so.
    """
    by_kind: dict[tuple[torch.device, torch.dtype], list[Tensor]] = defaultdict(list)
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        by_kind[parameter.grad.device, parameter.grad.dtype].append(parameter.grad)
    for gradients in by_kind.values():
        mean = collectives.all_reduce(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, torch.split(mean, [one.numel() for one in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))
