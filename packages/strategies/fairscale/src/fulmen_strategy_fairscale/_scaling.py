"""Loss scaling where each rank sees a part of the gradients: what one rank finds, all ranks act upon."""

from __future__ import annotations

from typing import final

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

from fulmen_distributed import parameters_in_order
from fulmen_interfaces import GradScaler


@final
class AgreedGradScaler(torch.amp.GradScaler):
    """torch's scaler; a gradient that is not finite on one rank lets every rank leave the step out.

    FairScale's own scaler switches itself off where there is no GPU.
    """

    def _unscale_grads_(
        self, optimizer: Optimizer, inv_scale: Tensor, found_inf: Tensor, allow_fp16: bool
    ) -> dict[torch.device, Tensor]:
        found = super()._unscale_grads_(optimizer, inv_scale, found_inf, allow_fp16)
        verdict = found.get(found_inf.device, found_inf)
        dist.all_reduce(verdict, dist.ReduceOp.MAX)
        return {verdict.device: verdict}


def agreed_scaler(scaler: GradScaler | None, device_type: str) -> GradScaler | None:
    """Return a scaler with the settings of another, whose findings are those of all ranks."""
    if scaler is None:
        return None
    agreed = AgreedGradScaler(device_type)
    agreed.load_state_dict(scaler.state_dict())
    return agreed


def any_rank_has_gradients(optimizer: Optimizer) -> bool:
    """Return whether any parameter of the optimizer has a gradient on any rank. To be called on every rank."""
    parameters = parameters_in_order(optimizer)
    here = any(parameter.grad is not None for parameter in parameters)
    flag = torch.tensor(float(here), device=parameters[0].device)
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag)
