"""Norms of gradients, for `log_dict`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fulmen_interfaces import ConfigurationError, Problem


def grad_norm(module: nn.Module, norm_type: float | int | str, group_separator: str = "/") -> dict[str, Tensor]:
    """Return the norm of every parameter's gradient and that of all together, by names that can be logged.

    `norm_type` is a positive number, or "inf" for the largest element. Empty where there are no gradients. To be called
    in `on_before_optimizer_step`, where gradients are complete and not yet clipped::

        self.log_dict(grad_norm(self, norm_type=2))
    """
    kind = float(norm_type)
    if not kind > 0:
        reason = "A norm has a positive order."
        raise ConfigurationError([Problem("norm_type", norm_type, reason, "Give 2, or 'inf' for the largest element.")])
    name = f"grad_{kind}_norm"
    norms = {
        f"{name}{group_separator}{parameter}": torch.linalg.vector_norm(value.grad, kind)
        for parameter, value in module.named_parameters()
        if value.grad is not None
    }
    if norms:
        norms[f"{name}_total"] = torch.linalg.vector_norm(torch.stack(list(norms.values())), kind)
    return norms
