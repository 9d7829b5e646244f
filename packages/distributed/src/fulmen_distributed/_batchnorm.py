"""Batch norm whose statistics are those of all ranks' batches."""

from __future__ import annotations

from typing import Any, cast, final

import torch
import torch.distributed as dist
from torch import Tensor, nn

_REPLACED = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_NATIVE = frozenset({"cuda", "xpu", "hpu"})
"""Device types of which torch's own layer takes care."""


def synchronise_batchnorm(module: nn.Module, device_type: str) -> None:
    """Replace the batch norm layers in a module by ones that take statistics over all ranks.

    Names, parameters and buffers stay. On GPUs these are torch's own layers, elsewhere `RankedBatchNorm`.
    """
    if device_type in _NATIVE:
        nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _REPLACED) and not isinstance(child, RankedBatchNorm):
                setattr(parent, name, RankedBatchNorm.like(child))


@final
class RankedBatchNorm(nn.BatchNorm1d):
    """What torch's `SyncBatchNorm` does, for any device and number of dimensions; two exchanges in each direction."""

    @classmethod
    def like(cls, layer: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) -> RankedBatchNorm:
        """Return a layer with the parameters and buffers of that one: the same objects."""
        new = cls(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        new.weight, new.bias = layer.weight, layer.bias
        new.running_mean, new.running_var = layer.running_mean, layer.running_var
        new.num_batches_tracked = layer.num_batches_tracked
        new.training = layer.training
        return new

    def forward(self, input: Tensor) -> Tensor:
        """Normalise: in training, by what all ranks have."""
        if not (self.training and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(input)
        values = input if input.dtype is torch.float64 else input.float()
        dims = [0, *range(2, values.dim())]
        shape = [1, -1] + [1] * (values.dim() - 2)
        count = values.new_tensor([values.numel() / values.shape[1]])
        totals = _over_ranks(torch.cat([values.sum(dims), count]))
        centred = values - (totals[:-1] / totals[-1]).view(shape)
        variance = _over_ranks(centred.square().sum(dims)) / totals[-1].detach()
        result = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.track_running_stats:
            self._remember(totals.detach(), variance.detach())
        if self.affine:
            result = result * self.weight.view(shape) + self.bias.view(shape)
        return result.to(input.dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions will do: the layer that it stands for would have looked at them."""

    @torch.no_grad()
    def _remember(self, totals: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        count = totals[-1]
        self.num_batches_tracked.add_(1)
        share = 1.0 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_((totals[:-1] / count).to(self.running_mean.dtype), share)
        unbiased = variance * (count / (count - 1).clamp(min=1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)


def _over_ranks(tensor: Tensor) -> Tensor:
    """Return the sum over all ranks, through which gradients flow."""
    return cast(Tensor, _Sum.apply(tensor))  # type: ignore[no-untyped-call]


class _Sum(torch.autograd.Function):
    """The sum over all ranks, through which gradients flow: each rank gets those of all."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        """Add up."""
        total = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Add up the gradients."""
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total
