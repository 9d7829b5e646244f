"""The truth: a training loop written by hand."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from fulmen_interfaces import ClipAlgorithm, GradientClipping, PrecisionPolicy
from fulmen_testing.conformance._scenario import TORCH_DTYPES, Batch, Optimizers, Recipe, one_sgd


@final
class PlainLoop:
    """The truth: torch alone, in the precision that a policy describes."""

    def __init__(
        self, policy: PrecisionPolicy, device: torch.device, module: nn.Module, optimizers: Optimizers = one_sgd
    ) -> None:
        self.module = module.to(device)
        self.norms: list[float] = []
        self._policy = policy
        self._device = device
        self._compute = TORCH_DTYPES[policy.compute]
        if not policy.autocast:
            self.module.to(self._compute)
        self.optimizers = optimizers(module)
        self._scaler = torch.amp.GradScaler(device.type, enabled=policy.loss_scaling)

    def train(self, batches: Iterable[Batch], recipe: Recipe) -> None:
        """Train; closures change nothing here, for each is run once."""
        for number, batch in enumerate(batches, 1):
            self._scaler.scale(self.loss(batch) / recipe.accumulate).backward()  # type: ignore[no-untyped-call]
            if number % recipe.accumulate == 0:
                self._step(recipe.clipping)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Return the loss of one batch."""
        x, y = (tensor.to(self._device) for tensor in batch)
        if not self._policy.autocast:
            x, y = x.to(self._compute), y.to(self._compute)
        with self._autocast():
            return mse_loss(self.module(x), y)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self._device.type, self._compute) if self._policy.autocast else nullcontext()

    def _step(self, clipping: GradientClipping | None) -> None:
        for optimizer in self.optimizers:
            self._scaler.unscale_(optimizer)
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            if clipping is not None and clipping.algorithm is ClipAlgorithm.NORM:
                self.norms.append(float(clip_grad_norm_(parameters, clipping.limit)))
            elif clipping is not None:
                clip_grad_value_(parameters, clipping.limit)
        for optimizer in self.optimizers:
            self._scaler.step(optimizer)
            optimizer.zero_grad()
        self._scaler.update()
